-- Kill switches and pauses. The gate takes lock 7301 shared (`admit_call`, `start_effect`, `reserve_model_call`), a
-- switch takes it exclusively: once a switch has committed, nothing is admitted or sent without having seen it.

drop function if exists halted_by;
create function halted_by(p_tenant text, p_run text, p_agent text, p_tool text) returns text
language sql stable as $$
    -- What holds a run up now: a switch, or its agent being disabled; null when nothing does.
    select coalesce(switched_off(p_tenant, p_run, p_agent, p_tool), (
        select 'agent ' || p_agent || ' is disabled' where not exists (
            select 1 from agent_states a where a.tenant = p_tenant and a.agent = p_agent and a.enabled)))
$$;

drop function if exists throw_switch;
create function throw_switch( -- on, with its receipts and its revocation, in one transaction
    p_tenant text, p_scope text, p_target text, p_reason text, p_by text,
    p_tenants text[], -- where to look for what is under way: the tenant itself, or all for tenant *
    out switch_id bigint, out fresh boolean, out in_flight int, out set_at timestamptz, out epoch bigint
) language plpgsql as $$
declare
    t text;
    found_now int;
begin
    perform take_tenant(p_tenant);
    perform pg_advisory_xact_lock(7301);
    in_flight := 0;
    select w.switch_id, w.set_at, w.epoch into switch_id, set_at, epoch from switches w
        where w.tenant = p_tenant and w.scope = p_scope and w.target = p_target and w.released_at is null;
    fresh := not found;
    if not fresh then return; end if;
    epoch := revoke_credentials(p_tenant, p_scope, p_target, p_by, p_reason);
    -- The clock once the lock is held: whatever began later waited for this transaction.
    set_at := clock_timestamp();
    insert into switches as w (tenant, scope, target, reason, set_by, set_at, epoch)
        values (p_tenant, p_scope, p_target, p_reason, p_by, throw_switch.set_at, throw_switch.epoch)
        returning w.switch_id into switch_id;
    foreach t in array p_tenants loop
        perform set_config('countersign.tenant', t, true);
        insert into switch_receipts (tenant, switch_id, run_id, step, call, visit, agent, tool, kind, state, since, attempts)
            select t, throw_switch.switch_id, u.run_id, u.step, u.call, u.visit, u.agent, u.tool, u.kind, u.state, u.since,
                u.attempts
            from under_way(t) u
            where p_scope = 'tenant' or (p_scope = 'agent' and u.agent = p_target)
                or (p_scope = 'tool' and u.tool = p_target) or (p_scope = 'run' and u.run_id = p_target)
            limit 10000;
        get diagnostics found_now = row_count;
        in_flight := in_flight + found_now;
    end loop;
    perform set_config('countersign.tenant', p_tenant, true);
end $$;

drop function if exists under_way;
create function under_way(p_tenant text)
returns table (run_id text, step int, call int, visit int, agent text, tool text, kind text, state text,
    since timestamptz, attempts int) language sql stable as $$
    -- What open runs have started and not finished: writes that may have left, reads and model calls that run.
    select e.run_id, e.step, e.call, coalesce((select max(j.visit) from journal j where j.tenant = e.tenant
            and j.run_id = e.run_id and j.step = e.step and j.call = e.call), 1), r.agent, e.tool, 'write', e.state,
        coalesce(e.first_sent_at, e.updated_at), e.attempts
    from effects e join runs r on r.tenant = e.tenant and r.run_id = e.run_id
    where e.tenant = p_tenant and e.state in ('prepared', 'in_flight', 'unknown') and r.closed_at is null
    union all
    select j.run_id, j.step, j.call, j.visit, r.agent, j.tool, case when j.call = -1 then 'model' else 'read' end, j.state,
        j.started_at, j.fence
    from journal j join runs r on r.tenant = j.tenant and r.run_id = j.run_id
    where j.tenant = p_tenant and j.state = 'reserved' and r.closed_at is null
        and not exists (select 1 from effects e where e.tenant = j.tenant and e.run_id = j.run_id and e.step = j.step
            and e.call = j.call)
$$;

drop function if exists release_switch;
create function release_switch(p_tenant text, p_switch bigint, p_by text, p_reason text)
returns setof switches language plpgsql as $$
begin
    perform take_tenant(p_tenant);
    return query update switches w set released_by = p_by, released_at = now(), released_reason = p_reason
        where w.tenant = p_tenant and w.switch_id = p_switch and w.released_at is null returning w.*;
end $$;

drop function if exists pause_run;
create function pause_run( -- once for each number; a halt that is over by now is no pause
    p_tenant text, p_run text, p_number int, p_agent text, p_cause text, p_tool text, p_detail text,
    p_command text, p_person text, p_reason text, p_audit text,
    out state text -- paused, free, over
) language plpgsql as $$
declare
    p pauses;
begin
    perform take_tenant(p_tenant);
    perform 1 from run_state r where r.tenant = p_tenant and r.run_id = p_run for update;
    select * into p from pauses r where r.tenant = p_tenant and r.run_id = p_run and r.number = p_number;
    if found then state := case when p.ended_at is null then 'paused' else 'over' end; return; end if;
    if p_cause = 'halted' and halted_by(p_tenant, p_run, p_agent, p_tool) is null then state := 'free'; return; end if;
    update pauses r set ended_at = now() where r.tenant = p_tenant and r.run_id = p_run and r.ended_at is null;
    insert into pauses (tenant, run_id, number, agent, cause, tool, detail, command_id, person, reason)
        values (p_tenant, p_run, p_number, p_agent, p_cause, p_tool, p_detail, p_command, p_person, p_reason);
    perform append_audit(p_tenant, p_run, 'paused', p_audit);
    state := 'paused';
end $$;

drop function if exists note_order;
create function note_order( -- an operator's order was obeyed: once in the chain
    p_tenant text, p_run text, p_pause int, p_command text, p_audit text,
    out state text -- noted, stored
) language plpgsql as $$
begin
    perform take_tenant(p_tenant);
    perform 1 from run_state r where r.tenant = p_tenant and r.run_id = p_run for update;
    if exists (select 1 from audit a where a.tenant = p_tenant and a.run_id = p_run and a.kind = 'commanded'
            and a.body = p_audit) then
        state := 'stored'; return;
    end if;
    update pauses r set ended_at = now(), ended_by = p_command where r.tenant = p_tenant and r.run_id = p_run
        and r.number = p_pause and r.ended_at is null;
    perform append_audit(p_tenant, p_run, 'commanded', p_audit);
    state := 'noted';
end $$;

drop function if exists resumable;
create function resumable(p_limit int) -- role countersign_dispatch: pauses of every tenant that nothing holds any more
returns table (tenant text, run_id text, number int, released_by text, why text) language sql stable as $$
    select p.tenant, p.run_id, p.number,
        coalesce(w.released_by, (select a.changed_by from agent_states a where a.tenant = p.tenant and a.agent = p.agent),
            'nobody'),
        case when w.switch_id is null then 'agent ' || p.agent || ' is enabled'
            else 'switch ' || w.switch_id || ' was released' end
    from pauses p left join lateral (
        select s.switch_id, s.released_by from switches s
        where s.tenant in (p.tenant, '*') and s.released_at >= p.paused_at
            and (s.scope = 'tenant' or (s.scope = 'agent' and s.target = p.agent)
                or (s.scope = 'tool' and s.target = p.tool) or (s.scope = 'run' and s.target = p.run_id))
        order by s.released_at desc limit 1) w on true
    where p.ended_at is null and p.cause = 'halted' and halted_by(p.tenant, p.run_id, p.agent, p.tool) is null
    order by p.paused_at limit p_limit
$$;
