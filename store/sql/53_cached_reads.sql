-- Results of reads that may be served again. The key holds tool, version, source, identity and arguments; rows hold the
-- tenant: nothing crosses either.

drop function if exists keep_read;
create function keep_read(
    p_tenant text, p_key text, p_resource text, p_output text, p_run text, p_for_s int, out kept boolean
) language plpgsql as $$
begin
    perform take_tenant(p_tenant);
    delete from cached_reads r where r.ctid in (select x.ctid from cached_reads x where x.tenant = p_tenant
        and x.expires_at <= now() order by x.expires_at limit 50 for update skip locked);
    insert into cached_reads as r (tenant, key, resource, output, run_id, expires_at)
        values (p_tenant, p_key, p_resource, p_output, p_run, now() + make_interval(secs => p_for_s))
        on conflict (tenant, key) do update set output = excluded.output, run_id = excluded.run_id, stored_at = now(),
            expires_at = excluded.expires_at;
    kept := true;
end $$;

drop function if exists find_read;
create function find_read(p_tenant text, p_key text, out output text, out run_id text, out age_s double precision)
language plpgsql as $$
begin
    perform take_tenant(p_tenant);
    select r.output, r.run_id, extract(epoch from now() - r.stored_at) into output, run_id, age_s from cached_reads r
        where r.tenant = p_tenant and r.key = p_key and r.expires_at > now();
end $$;

drop function if exists drop_reads;
create function drop_reads(p_tenant text, p_resource text, out dropped int) language plpgsql as $$
begin
    perform take_tenant(p_tenant);
    delete from cached_reads r where r.tenant = p_tenant and r.resource = p_resource;
    get diagnostics dropped = row_count;
end $$;
