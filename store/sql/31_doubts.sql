-- The unknown queue: writes of which nobody knows whether they happened, asked after again and again until the service
-- or a person says. The run that proposed one may be open or closed; its row is settled in the same way.

create or replace function begin_doubt() returns trigger language plpgsql as $$
begin
    new.doubted_at := now();
    new.next_probe_at := now() + interval '15 seconds'; -- the run itself asks first
    return new;
end $$;
create or replace trigger begin_doubt before update of state on effects for each row
    when (old.state <> 'unknown' and new.state = 'unknown') execute function begin_doubt();

drop function if exists claim_doubts;
create function claim_doubts( -- take doubts that are due; nobody else takes them for `p_lease_s`
    p_tenant text, p_limit int, p_lease_s double precision
) returns table (doubt json) language plpgsql as $$
begin
    perform take_tenant(p_tenant);
    return query
        with due as (
            select e.tenant, e.run_id, e.step, e.call from effects e
            where e.tenant = p_tenant and e.state = 'unknown' and coalesce(e.next_probe_at, e.updated_at) <= now()
            order by e.next_probe_at nulls first limit p_limit for update skip locked
        ), taken as (
            update effects e set next_probe_at = now() + make_interval(secs => p_lease_s), probes = e.probes + 1
            from due d where e.tenant = d.tenant and e.run_id = d.run_id and e.step = d.step and e.call = d.call
            returning e.*
        )
        select to_json(x) from (
            select t.run_id, t.step, t.call, t.tool, t.tool_version, t.service, t.arguments, t.fence, t.probes,
                ceil(extract(epoch from t.credential_expires_at))::bigint as credential_s,
                floor(extract(epoch from t.doubted_at))::bigint as doubted_s,
                floor(extract(epoch from now()))::bigint as now_s,
                r.agent, r.on_behalf_of, r.closed_at is not null as closed
            from taken t join runs r on r.tenant = t.tenant and r.run_id = t.run_id) x;
end $$;

drop function if exists note_probe;
create function note_probe( -- still in doubt: keep what the service said, ask again later
    p_tenant text, p_run text, p_step int, p_call int, p_fence int, p_said text, p_again_s double precision
) returns void language plpgsql as $$
begin
    perform take_tenant(p_tenant);
    update effects r set probed_at = now(), probe_said = p_said, next_probe_at = now() + make_interval(secs => p_again_s)
        where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step and r.call = p_call and r.fence = p_fence
            and r.state = 'unknown';
end $$;

drop function if exists lapse_effects;
create function lapse_effects( -- leases that ended long ago, and that no attempt of their run has looked at since
    p_tenant text, p_limit int, p_after_s double precision
) returns int language plpgsql as $$
declare
    e record;
    found_one text;
    lapsed int := 0;
begin
    perform take_tenant(p_tenant);
    for e in select r.run_id, r.step, r.call, r.tool from effects r where r.tenant = p_tenant and r.state = 'in_flight'
            and r.lease_until < now() - make_interval(secs => p_after_s) order by r.lease_until limit p_limit
    loop
        select d.kind into found_one from doubt_effect(p_tenant, e.run_id, e.step, e.call,
            json_build_object('step', e.step, 'call', e.call, 'visit', newest_visit(p_tenant, e.run_id, e.step, e.call))::text) d;
        lapsed := lapsed + (found_one = 'doubted')::int;
    end loop;
    return lapsed;
end $$;

drop function if exists newest_visit;
create function newest_visit(p_tenant text, p_run text, p_step int, p_call int) returns int language sql stable as $$
    select coalesce(max(j.visit), 1) from journal j
    where j.tenant = p_tenant and j.run_id = p_run and j.step = p_step and j.call = p_call
$$;

drop function if exists settle_doubt;
create function settle_doubt( -- unknown -> succeeded, failed_final or abandoned, whether or not the run is still open
    p_tenant text, p_run text, p_step int, p_call int,
    p_fence int, -- of the row that was looked at; null: whatever it is now
    p_state text, p_output text, p_error text,
    p_by text, -- the person, or `probe`
    p_slack_s int, -- how far the service's clock may differ
    p_said_twice boolean, -- of `failed_final`: somebody vouches although an attempt's credential is still good
    p_audit text, -- json object, to which visit and tool are added
    out kind text, -- settled; absent: no such effect; known: not in doubt, with its state; credential: still good
    out state text, out credential_s bigint, out closed boolean, out tool text
) language plpgsql as $$
declare
    s run_state;
    e effects;
begin
    perform take_tenant(p_tenant);
    select * into s from run_state r where r.tenant = p_tenant and r.run_id = p_run for update;
    select * into e from effects r where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step
        and r.call = p_call for update;
    if e.run_id is null then kind := 'absent'; return; end if;
    state := e.state; closed := s.closed; tool := e.tool;
    credential_s := ceil(extract(epoch from e.credential_expires_at))::bigint;
    if e.state <> 'unknown' or e.fence <> coalesce(p_fence, e.fence) then kind := 'known'; return; end if;
    if p_state = 'failed_final' and not p_said_twice
        and e.credential_expires_at + make_interval(secs => p_slack_s) >= now() then
        -- What was sent may still arrive: a service takes it as long as its credential is good.
        kind := 'credential'; return;
    end if;
    update effects r set state = p_state, output = p_output, error = p_error, fence = r.fence + 1, updated_at = now(),
            resolved_by = p_by, next_probe_at = null
        where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step and r.call = p_call;
    perform append_audit(p_tenant, p_run, 'resolved', (p_audit::jsonb || jsonb_build_object('tool', e.tool, 'visit',
        newest_visit(p_tenant, p_run, p_step, p_call)))::text);
    update run_state r set version = r.version + 1, effects = r.effects + (p_state = 'succeeded')::int,
            completed = case when p_state = 'succeeded' then jsonb_set(r.completed, array[e.tool],
                to_jsonb(coalesce((r.completed ->> e.tool)::bigint, 0) + 1)) else r.completed end,
            money_minor = case when p_state = 'failed_final' and e.currency is not null then
                jsonb_set(r.money_minor, array[e.currency],
                    to_jsonb((r.money_minor ->> e.currency)::bigint - e.amount_minor)) else r.money_minor end
        where r.tenant = p_tenant and r.run_id = p_run;
    kind := 'settled'; state := p_state;
end $$;

drop function if exists claim_open_runs;
create function claim_open_runs( -- open runs that nobody has looked at for a while; nobody else looks meanwhile
    p_tenant text, p_limit int, p_every_s double precision
) returns table (run_id text, definition text, opened_s bigint) language plpgsql as $$
begin
    perform take_tenant(p_tenant);
    return query
        update runs r set looked_at = now()
        where (r.tenant, r.run_id) in (
            select x.tenant, x.run_id from runs x where x.tenant = p_tenant and x.closed_at is null
                and greatest(x.opened_at, x.looked_at) < now() - make_interval(secs => p_every_s)
            order by x.looked_at nulls first limit p_limit for update skip locked)
        returning r.run_id::text, r.definition::text, floor(extract(epoch from r.opened_at))::bigint;
end $$;
