-- Revocation epochs: a number in every credential, and for each scope the lowest that services still accept.

drop function if exists current_epoch;
create function current_epoch(p_tenant text, p_run text, p_agent text, p_tool text) returns bigint
language sql stable as $$
    -- The epoch that a credential of this call carries: the highest of all scopes that it falls under; 0 before any.
    -- One look at the index for each: this stands in the statement that starts a lease.
    select coalesce(max(e.epoch), 0) from (
        values ('*', 'tenant', '*'), (p_tenant, 'tenant', '*'), (p_tenant, 'agent', p_agent), (p_tenant, 'tool', p_tool),
            ('*', 'agent', p_agent), ('*', 'tool', p_tool), (p_tenant, 'run', p_run)
        ) as s(tenant, scope, target)
        cross join lateral (select r.epoch from revocations r
            where r.tenant = s.tenant and r.scope = s.scope and r.target = s.target order by r.epoch desc limit 1) e
$$;

drop function if exists revoke_credentials;
create function revoke_credentials( -- raises the epoch of a scope; `set_config('countersign.tenant')` is the caller's
    p_tenant text, p_scope text, p_target text, p_by text, p_reason text
) returns bigint language plpgsql as $$
declare
    raised bigint;
begin
    if p_scope not in ('tenant', 'agent', 'tool', 'run') or (p_scope = 'tenant') <> (p_target = '*') then
        raise exception 'no such scope: % %', p_scope, p_target using errcode = 'invalid_parameter_value';
    end if;
    -- Exclusive, as the kill switch takes it: no lease starts between the number's birth and its commit, so that every
    -- credential with this number or a higher one was minted after it.
    perform pg_advisory_xact_lock(7301);
    insert into revocations (tenant, scope, target, revoked_by, reason)
        values (p_tenant, p_scope, p_target, p_by, p_reason) returning epoch into raised;
    return raised;
end $$;

drop function if exists change_agent;
create function change_agent( -- compare-and-set on the version that the operator saw; the gate decides anew
    p_tenant text, p_agent text, p_version bigint, p_verb text,
    p_enabled boolean, p_stage text, p_ceiling int, p_by text, p_role text, p_reason text,
    out kind text, -- changed, same, moved, absent
    out version bigint, out epoch bigint
) language plpgsql as $$
declare
    a agent_states;
    seen text;
    made text;
begin
    perform take_tenant(p_tenant);
    -- Before the row: admission takes the two in this order.
    if not p_enabled then perform pg_advisory_xact_lock(7301); end if;
    select * into a from agent_states r where r.tenant = p_tenant and r.agent = p_agent for update;
    if not found then kind := 'absent'; return; end if;
    version := a.version;
    if a.version <> p_version then kind := 'moved'; return; end if;
    seen := json_build_object('enabled', a.enabled, 'stage', a.stage, 'tier_ceiling', a.tier_ceiling)::text;
    made := json_build_object('enabled', p_enabled, 'stage', p_stage, 'tier_ceiling', p_ceiling)::text;
    if seen = made then kind := 'same'; return; end if;
    version := a.version + 1;
    update agent_states r set enabled = p_enabled, stage = p_stage, tier_ceiling = p_ceiling, version = a.version + 1,
            changed_by = p_by, changed_at = now()
        where r.tenant = p_tenant and r.agent = p_agent;
    insert into agent_changes (tenant, agent, version, verb, changed_by, role, reason, before, after)
        values (p_tenant, p_agent, a.version + 1, p_verb, p_by, p_role, p_reason, seen, made);
    -- What was minted before is worth nothing any more.
    if a.enabled and not p_enabled then
        epoch := revoke_credentials(p_tenant, 'agent', p_agent, p_by, p_reason);
    end if;
    kind := 'changed';
end $$;
