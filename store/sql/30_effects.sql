-- Transitions of the effects ledger between admission and finish. All are compare-and-set on state and fence.

drop function if exists start_effect;
create function start_effect( -- prepared -> in_flight: the last look before something leaves
    p_tenant text, p_run text, p_step int, p_call int, p_fence int, p_agent text, p_tool text,
    p_lease_s double precision, p_credential_s double precision,
    out kind text, -- started, halted, lost
    out detail text,
    out not_after_s bigint, -- no credential of this attempt may be valid longer
    out epoch bigint -- revocation epoch of its credentials: what is revoked from now on ends them at services
) language plpgsql as $$
begin
    perform take_tenant(p_tenant);
    perform pg_advisory_xact_lock_shared(7301);
    detail := switched_off(p_tenant, p_run, p_agent, p_tool);
    if detail is not null then kind := 'halted'; return; end if;
    update effects r set state = 'in_flight', attempts = r.attempts + 1, updated_at = now(),
            lease_until = now() + make_interval(secs => p_lease_s),
            first_sent_at = coalesce(r.first_sent_at, now()),
            credential_expires_at = greatest(r.credential_expires_at, now() + make_interval(secs => p_credential_s))
        where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step and r.call = p_call and r.fence = p_fence
            and r.state = 'prepared'
        returning floor(extract(epoch from r.credential_expires_at)) into not_after_s;
    kind := case when found then 'started' else 'lost' end;
    epoch := current_epoch(p_tenant, p_run, p_agent, p_tool);
end $$;

drop function if exists renew_lease;
create function renew_lease( -- a holder that lives holds on; the fence stays the arbiter of who that is
    p_tenant text, p_run text, p_step int, p_call int, p_fence int,
    p_lease_s double precision, p_credential_s double precision,
    out held boolean, out not_after_s bigint
) language plpgsql as $$
begin
    perform take_tenant(p_tenant);
    update effects r set lease_until = now() + make_interval(secs => p_lease_s),
            credential_expires_at = greatest(r.credential_expires_at, now() + make_interval(secs => p_credential_s))
        where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step and r.call = p_call and r.fence = p_fence
            and r.state = 'in_flight'
        returning floor(extract(epoch from r.credential_expires_at)) into not_after_s;
    held := found;
end $$;

drop function if exists doubt_effect;
create function doubt_effect( -- in_flight -> unknown, once the lease has lapsed: whoever held it can no longer finish.
    -- Also prepared -> unknown where an earlier attempt was sent: who meant to send it again died before it did.
    p_tenant text, p_run text, p_step int, p_call int, p_audit text,
    out kind text -- doubted, or held
) language plpgsql as $$
begin
    perform take_tenant(p_tenant);
    perform 1 from run_state r where r.tenant = p_tenant and r.run_id = p_run for update;
    update effects r set state = 'unknown', fence = r.fence + 1, lease_until = null, updated_at = now()
        where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step and r.call = p_call
            and ((r.state = 'in_flight' and r.lease_until <= now()) or (r.state = 'prepared' and r.attempts > 0));
    kind := case when found then 'doubted' else 'held' end;
    if found then perform append_audit(p_tenant, p_run, 'doubted', p_audit); end if;
end $$;

drop function if exists resolve_effect;
create function resolve_effect( -- unknown -> succeeded, failed_final, or still unknown: what a probe or a person found
    p_tenant text, p_run text, p_step int, p_call int, p_visit int, p_tool text, p_effect_fence int,
    p_state text, p_output text, p_error text,
    p_control text, p_message text, p_message_tokens int, p_audit text,
    out kind text -- resolved, or lost
) language plpgsql as $$
declare
    s run_state;
    e effects;
    entry int;
begin
    perform take_tenant(p_tenant);
    select * into s from run_state r where r.tenant = p_tenant and r.run_id = p_run for update;
    update effects r set state = p_state, output = p_output, error = p_error, fence = r.fence + 1, updated_at = now(),
            resolved_by = case when p_state = 'unknown' then '' else 'probe' end
        where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step and r.call = p_call
            and r.fence = p_effect_fence and r.state = 'unknown'
        returning * into e;
    if not found then kind := 'lost'; return; end if;
    entry := append_audit(p_tenant, p_run, 'resolved', p_audit);
    if p_message is not null then
        insert into messages (tenant, run_id, seq, step, call, tokens, content)
            values (p_tenant, p_run, s.message_seq + 1, p_step, p_call, p_message_tokens, p_message);
    end if;
    insert into journal as r (tenant, run_id, step, call, visit, state, tool, control, message_seq, decision_seq, done_at)
        values (p_tenant, p_run, p_step, p_call, p_visit, 'done', p_tool, p_control,
            case when p_message is not null then s.message_seq + 1 end, entry, now())
        on conflict (tenant, run_id, step, call, visit) do update set state = 'done', fence = r.fence + 1,
            control = excluded.control, message_seq = excluded.message_seq, done_at = now();
    update run_state r set version = r.version + 1, message_seq = s.message_seq + (p_message is not null)::int,
            effects = r.effects + (p_state = 'succeeded')::int,
            completed = case when p_state = 'succeeded' then jsonb_set(r.completed, array[p_tool],
                to_jsonb(coalesce((r.completed ->> p_tool)::bigint, 0) + 1)) else r.completed end,
            money_minor = case when p_state = 'failed_final' and e.currency is not null then
                jsonb_set(r.money_minor, array[e.currency],
                    to_jsonb((r.money_minor ->> e.currency)::bigint - e.amount_minor)) else r.money_minor end
        where r.tenant = p_tenant and r.run_id = p_run;
    kind := 'resolved';
end $$;

drop function if exists end_effects;
create function end_effects( -- when a run ends: what never left did not happen, of the rest nobody knows
    p_tenant text, p_run text
) returns void language plpgsql as $$
declare
    s run_state;
    e effects;
    ended text;
begin
    perform take_tenant(p_tenant);
    select * into s from run_state r where r.tenant = p_tenant and r.run_id = p_run for update;
    for e in select * from effects r where r.tenant = p_tenant and r.run_id = p_run
            and r.state in ('prepared', 'in_flight') order by r.step, r.call for update
    loop
        ended := case when e.attempts = 0 then 'failed_final' else 'unknown' end;
        -- The fence moves: whoever was about to send it, or is still sending, is not the holder any more.
        update effects r set state = ended, fence = r.fence + 1, lease_until = null, updated_at = now(),
                error = case when e.attempts = 0 then 'the run ended before this was sent' else 'the run ended while this was under way' end
            where r.tenant = p_tenant and r.run_id = p_run and r.step = e.step and r.call = e.call;
        if ended = 'failed_final' and e.currency is not null then
            update run_state r set version = r.version + 1, money_minor = jsonb_set(r.money_minor, array[e.currency],
                    to_jsonb((r.money_minor ->> e.currency)::bigint - e.amount_minor))
                where r.tenant = p_tenant and r.run_id = p_run;
        end if;
        perform append_audit(p_tenant, p_run, 'resolved', json_build_object('step', e.step, 'call', e.call,
            'visit', (select max(j.visit) from journal j where j.tenant = p_tenant and j.run_id = p_run
                and j.step = e.step and j.call = e.call),
            'tool', e.tool, 'state', ended, 'how', 'run_ended', 'detail', e.state)::text);
    end loop;
end $$;

drop function if exists append_audit;
create function append_audit(p_tenant text, p_run text, p_kind text, p_body text) returns int language plpgsql as $$
declare
    s run_state;
    chained bytea;
begin
    select * into s from run_state r where r.tenant = p_tenant and r.run_id = p_run for update;
    chained := sha256(s.audit_head || convert_to(p_body, 'UTF8'));
    insert into audit (tenant, run_id, seq, kind, body, hash)
        values (p_tenant, p_run, s.audit_seq + 1, p_kind, p_body, chained);
    update run_state r set audit_seq = s.audit_seq + 1, audit_head = chained
        where r.tenant = p_tenant and r.run_id = p_run;
    return s.audit_seq + 1;
end $$;
