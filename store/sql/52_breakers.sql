-- Tools that stopped answering clearly. A tool that works has no row, and costs nothing here.

drop function if exists note_outcome;
create function note_outcome(
    p_tenant text, p_tool text, p_failed boolean, -- without a clear answer: ambiguous, unreachable, broken
    p_failures int, p_of_last int, p_window_s int, p_open_s int,
    out state text, -- closed, open, half_open
    out changed boolean
) language plpgsql as $$
declare
    b breakers;
    now_at timestamptz := clock_timestamp();
    longest constant int := 3600;
begin
    perform take_tenant(p_tenant);
    changed := false;
    loop
        select * into b from breakers r where r.tenant = p_tenant and r.tool = p_tool for update;
        exit when found;
        if not p_failed then state := 'closed'; return; end if;
        insert into breakers (tenant, tool, state, failed_at) values (p_tenant, p_tool, 'closed', '{}')
            on conflict do nothing;
    end loop;
    state := b.state;
    if b.state = 'open' then return; end if; -- of a call that was admitted before
    if b.state = 'half_open' then
        changed := true;
        if p_failed then
            b.opened := least(b.opened + 1, 30);
            b.until := now_at + make_interval(secs => least(p_open_s * power(2, b.opened - 1), greatest(longest, p_open_s)));
            state := 'open';
        else
            state := 'closed';
        end if;
    else
        -- Failures outside the window, and those before the last so many calls, count no more.
        b.answered := b.answered + (not p_failed)::int;
        b.failed_at := array(select f from unnest(b.failed_at) f where f > now_at - make_interval(secs => p_window_s)
            order by f) || case when p_failed then array[now_at] else '{}'::timestamptz[] end;
        if cardinality(b.failed_at) + b.answered > p_of_last then
            b.failed_at := b.failed_at[2:];
            b.answered := 0;
        end if;
        if cardinality(b.failed_at) >= p_failures then
            b.opened := 1; b.until := now_at + make_interval(secs => p_open_s);
            state := 'open'; changed := true;
        end if;
    end if;
    if state = 'closed' and (changed or cardinality(b.failed_at) = 0) then
        delete from breakers r where r.tenant = p_tenant and r.tool = p_tool;
    else
        if state = 'open' then b.failed_at := '{}'; b.answered := 0; end if;
        update breakers r set state = note_outcome.state, failed_at = b.failed_at, answered = b.answered,
                opened = b.opened, until = b.until, changed_at = now_at
            where r.tenant = p_tenant and r.tool = p_tool;
    end if;
    if changed then
        insert into alarms (tenant, kind, subject, detail) values (p_tenant,
            case state when 'open' then 'tool_cut_off' else 'tool_restored' end, p_tool,
            jsonb_build_object('until', b.until, 'times', b.opened));
    end if;
end $$;

drop function if exists pass_breaker;
create function pass_breaker( -- may a call of a tool that has a row go through? One may probe a tool that was cut off
    p_tenant text, p_tool text,
    out passes boolean, out wait_s double precision
) language plpgsql as $$
declare
    b breakers;
    lost_after constant interval := interval '60 seconds';
begin
    perform take_tenant(p_tenant);
    select * into b from breakers r where r.tenant = p_tenant and r.tool = p_tool for update;
    passes := not found or b.state = 'closed' or b.until <= clock_timestamp();
    if not passes then
        wait_s := greatest(extract(epoch from b.until - clock_timestamp()), 1);
    elsif b.state in ('open', 'half_open') then
        update breakers r set state = 'half_open', until = clock_timestamp() + lost_after, changed_at = clock_timestamp()
            where r.tenant = p_tenant and r.tool = p_tool;
    end if;
end $$;
