-- Orders to undo a run, and the proposals of the run that carries one out.

drop function if exists order_undo;
create function order_undo( -- write an order, once; the chain of the run that is undone says so too
    p_tenant text, p_run text, p_of_run text, p_of_step int, p_agent text, p_username text, p_person text,
    p_reason text, p_plan text, p_digest text, p_audit text, p_role text,
    out kind text -- ordered, stored, open: the run is not over, absent
) language plpgsql as $$
declare
    closed_at timestamptz;
begin
    perform take_tenant(p_tenant);
    perform 1 from run_state r where r.tenant = p_tenant and r.run_id = p_of_run for update;
    if not found then kind := 'absent'; return; end if;
    select r.closed_at into closed_at from runs r where r.tenant = p_tenant and r.run_id = p_of_run;
    if closed_at is null then kind := 'open'; return; end if;
    insert into undo_orders (tenant, run_id, of_run, of_step, agent, username, person, reason, plan, plan_digest)
        values (p_tenant, p_run, p_of_run, p_of_step, p_agent, p_username, p_person, p_reason, p_plan, p_digest)
        on conflict do nothing;
    if not found then kind := 'stored'; return; end if;
    perform append_audit(p_tenant, p_of_run, 'undo_ordered', p_audit);
    -- The undo identity is a principal of its own: what was disabled can still be undone. A person approves its writes.
    insert into agent_states (tenant, agent, enabled, stage, tier_ceiling, changed_by)
        values (p_tenant, p_agent, true, 'gated_writes', 3, p_username) on conflict do nothing;
    if found then
        insert into agent_changes (tenant, agent, version, verb, changed_by, role, reason, before, after)
            select a.tenant, a.agent, a.version, 'enable', p_username, p_role, 'first undo: ' || p_reason,
                '{"enabled":false,"stage":"off","tier_ceiling":0}',
                json_build_object('enabled', a.enabled, 'stage', a.stage, 'tier_ceiling', a.tier_ceiling)::text
            from agent_states a where a.tenant = p_tenant and a.agent = p_agent;
    end if;
    kind := 'ordered';
end $$;

drop function if exists propose_undo;
create function propose_undo( -- a step's proposal, in the form that the gate reads; once, or what is stored
    p_tenant text, p_run text, p_step int, p_control text, p_message text, p_message_tokens int, p_audit text,
    out control text -- null: the run is over
) language plpgsql as $$
declare
    s run_state;
    entry int;
begin
    perform take_tenant(p_tenant);
    select * into s from run_state r where r.tenant = p_tenant and r.run_id = p_run for update;
    select r.control into control from journal r where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step
        and r.call = -1 and r.visit = 1;
    if found or s.closed then return; end if;
    insert into messages (tenant, run_id, seq, step, tokens, content)
        values (p_tenant, p_run, s.message_seq + 1, p_step, p_message_tokens, p_message);
    entry := append_audit(p_tenant, p_run, 'planned', p_audit);
    insert into journal (tenant, run_id, step, call, visit, state, control, message_seq, decision_seq, done_at)
        values (p_tenant, p_run, p_step, -1, 1, 'done', p_control, s.message_seq + 1, entry, now());
    update run_state r set version = r.version + 1, message_seq = s.message_seq + 1, steps = greatest(r.steps, p_step)
        where r.tenant = p_tenant and r.run_id = p_run;
    control := p_control;
end $$;
