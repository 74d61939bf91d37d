-- The gate's statements. Policy is decided between `load_call` and `admit_call`; admission holds only if nothing that
-- the decision depended on has changed meanwhile, else the caller decides again.

drop function if exists switched_off;
create function switched_off(p_tenant text, p_run text, p_agent text, p_tool text) returns text
language sql stable as $$
    -- Which kill switch holds for this call, widest first; null when none does.
    select w.scope || ':' || w.target from switches w
    where w.released_at is null and w.tenant in (p_tenant, '*')
        and (w.scope = 'tenant' or (w.scope = 'agent' and w.target = p_agent) or (w.scope = 'tool' and w.target = p_tool)
            or (w.scope = 'run' and w.target = p_run))
    order by w.tenant, w.scope desc limit 1
$$;

drop function if exists load_call;
create function load_call(
    p_tenant text, p_run text, p_step int, p_call int, p_visit int, p_agent text, p_tool text, p_values_after int,
    p_zone text, -- whose day it is, of a tool whose calls policy sees by day; else null
    out known boolean, out stored text, out stored_decision text, out stored_message text, -- this visit, if settled
    out proposal text, -- the model's message of the step
    out run json, out agent json, out effect json, out settled_visit int,
    out counted boolean, -- an earlier attempt or visit was admitted: the run's counters hold this call already
    out halted_by text, out now_s bigint,
    out today json, -- calls and money of the tool in the tenant's day
    out recorded text, -- the event, proposals and tool messages after that sequence number: what provenance comes from
    out recorded_seq int
) language plpgsql as $$
declare
    j journal;
begin
    perform take_tenant(p_tenant);
    now_s := floor(extract(epoch from now()));
    select to_json(x) into run from (
        select s.version, s.closed, s.limit_changes, s.tool_calls, s.admitted, s.completed, s.money_minor, s.tainted,
            r.definition, r.on_behalf_of, r.trusted_fields,
            floor(extract(epoch from r.opened_at))::bigint as opened_s
        from run_state s join runs r using (tenant, run_id)
        where s.tenant = p_tenant and s.run_id = p_run) x;
    known := run is not null;
    if not known then return; end if;
    select * into j from journal r where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step
        and r.call = p_call and r.visit = p_visit;
    if j.state = 'done' then
        stored := j.control;
        select a.body into stored_decision from audit a
            where a.tenant = p_tenant and a.run_id = p_run and a.seq = j.decision_seq;
        select m.content into stored_message from messages m
            where m.tenant = p_tenant and m.run_id = p_run and m.seq = j.message_seq;
    end if;
    -- A call whose answer stands in the transcript is settled, whichever visit settled it.
    select max(r.visit) into settled_visit from journal r where r.tenant = p_tenant and r.run_id = p_run
        and r.step = p_step and r.call = p_call and r.state = 'done' and r.message_seq is not null;
    select m.content into proposal from journal r join messages m
            on m.tenant = r.tenant and m.run_id = r.run_id and m.seq = r.message_seq
        where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step and r.call = -1 and r.visit = 1
            and r.state = 'done';
    select to_json(x) into agent from (
        select a.enabled, a.stage, a.tier_ceiling, a.version from agent_states a
        where a.tenant = p_tenant and a.agent = p_agent) x;
    select to_json(x) into effect from (
        select e.state, e.fence, e.arguments_digest, e.attempts, e.output, e.error, e.amount_minor, e.currency,
            ceil(extract(epoch from e.lease_until))::bigint as lease_s,
            floor(extract(epoch from e.first_sent_at))::bigint as first_sent_s,
            ceil(extract(epoch from e.credential_expires_at))::bigint as credential_s
        from effects e where e.tenant = p_tenant and e.run_id = p_run and e.step = p_step and e.call = p_call) x;
    counted := j.state is not null or effect is not null;
    if p_zone is not null then today := today_of(p_tenant, p_tool, p_zone); end if;
    halted_by := switched_off(p_tenant, p_run, p_agent, p_tool);
    select '[' || string_agg(m.content, ',' order by m.seq) || ']', max(m.seq) into recorded, recorded_seq from messages m
        where m.tenant = p_tenant and m.run_id = p_run and m.seq > p_values_after
            and (m.seq = 2 or m.call is not null or m.content like '{"role":"assistant"%');
end $$;

drop function if exists admit_call;
create function admit_call(
    p_tenant text, p_run text, p_step int, p_call int, p_visit int, p_agent text, p_tool text,
    p_version bigint, p_agent_version bigint, p_repeated boolean, -- what the decision was made on
    p_verdict text, -- read, write: admitted; record: anything else, settled here and now
    p_control text, -- of a record: the result to store
    p_message text, p_message_tokens int, -- of a record: what the model is told, if it is told anything
    p_audit text,
    p_limit_tool_calls int, p_limit_retries int,
    p_wall_s int, p_limits text, p_decided_on json, -- of the day: see 50_limits.sql and 51_rates.sql
    p_rated boolean, -- the tool has a rate, is counted by day, or moves money
    p_effect json, -- of a write: tool_version, service, arguments_digest, arguments, natural_key, amount_minor, currency, request_id
    p_standing json, -- of a call under a standing approval: see 81_standing.sql
    out kind text, -- admitted, recorded, stale, halted, limit, rate, deed_open, stored
    out fence int, out effect_fence int, out detail text,
    out retry_after_s double precision, -- of a rate
    out allot_day text, -- the day that the call is counted on
    out epoch bigint -- of an admitted read: what its credential carries; a write's is that of its lease
) language plpgsql as $$
declare
    s run_state;
    a agent_states;
    j journal;
    e effects;
    chained bytea;
    deed text := coalesce(p_effect ->> 'natural_key', '');
    currency_moved text := p_effect ->> 'currency';
    counted boolean;
    held record;
    money_period text;
begin
    perform take_tenant(p_tenant);
    if p_verdict = 'read' then
        -- A read changes nothing, so its admission may reach the disk with its result: after a breakdown of the database
        -- in between it is decided and read again. The intent of a write is on disk before anything is sent.
        perform set_config('synchronous_commit', 'off', true);
    end if;
    -- The kill switch takes this lock exclusively: once it has committed, nothing below is reached without seeing it.
    perform pg_advisory_xact_lock_shared(7301);
    select * into s from run_state r where r.tenant = p_tenant and r.run_id = p_run for update;
    select * into j from journal r where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step
        and r.call = p_call and r.visit = p_visit;
    if j.state = 'done' then kind := 'stored'; return; end if;
    select * into a from agent_states r where r.tenant = p_tenant and r.agent = p_agent for share;
    if s.version <> p_version or s.closed or coalesce(a.version, 0) <> p_agent_version then
        kind := 'stale'; return;
    end if;
    if p_verdict <> 'record' then
        detail := switched_off(p_tenant, p_run, p_agent, p_tool);
        if detail is not null then kind := 'halted'; return; end if;
    end if;
    select * into e from effects r where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step
        and r.call = p_call for update;
    counted := j.state is null and e.state is null; -- another attempt or visit of an admitted call is not another call
    if p_verdict <> 'record' and counted and s.tool_calls >= p_limit_tool_calls + raised_by(s.limit_changes, 'tool_calls') then
        kind := 'limit'; detail := 'tool_calls'; return;
    end if;
    if p_verdict <> 'record' and not counted and s.retries >= p_limit_retries + raised_by(s.limit_changes, 'retries') then
        kind := 'limit'; detail := 'retries'; return;
    end if;
    if p_verdict = 'write' then
        -- An unknown effect is sent again only by a caller that knows why this is safe, and says so.
        if e.state is not null and e.state <> 'prepared'
            and not (e.state = 'unknown' and coalesce((p_effect ->> 'resend')::boolean, false)) then
            kind := 'stale'; return;
        end if;
        if e.state is not null and e.arguments_digest <> p_effect ->> 'arguments_digest' then
            raise exception 'effect %/%/% was admitted with other arguments', p_run, p_step, p_call;
        end if;
        if deed <> '' then
            -- Two runs that propose one deed at once queue here; the loser sees the winner's row.
            perform pg_advisory_xact_lock(7302, hashtext(p_tenant || '/' || p_tool || '/' || deed));
            select r.run_id || ' step ' || r.step into detail from effects r
                where r.tenant = p_tenant and r.tool = p_tool and r.natural_key = deed
                    and r.state in ('prepared', 'in_flight', 'unknown')
                    and not (r.run_id = p_run and r.step = p_step and r.call = p_call) limit 1;
            if detail is not null then kind := 'deed_open'; return; end if;
        end if;
        if p_repeated is distinct from deed_done(p_tenant, p_tool, deed) then kind := 'stale'; detail := 'repeated'; return;
        end if;
    end if;
    if p_verdict <> 'record' and p_standing is not null and not hold_standing(p_tenant, p_run, p_step, p_call, p_standing) then
        kind := 'stale'; detail := 'standing'; return;
    end if;
    -- The last check: whatever it counts is admitted.
    if p_verdict <> 'record' and (p_rated or s.allot_until is null or clock_timestamp() >= s.allot_until
        or s.left_tool_calls < counted::int or s.left_retries < (not counted)::int or s.left_wall_s < p_wall_s) then
        select * into held from hold_call(s, p_agent, p_tool, p_limits::json, counted, p_wall_s,
            case p_verdict when 'write' then (p_effect ->> 'amount_minor')::bigint end, currency_moved, p_decided_on);
        if held.kind <> 'held' then
            kind := held.kind; detail := held.detail; retry_after_s := held.retry_after_s; return;
        end if;
        s := held.state;
        money_period := case when currency_moved is not null then held.period end;
    end if;
    if p_verdict <> 'record' then
        s.left_tool_calls := s.left_tool_calls - counted::int; s.left_retries := s.left_retries - (not counted)::int;
        s.left_wall_s := s.left_wall_s - p_wall_s; s.retries := s.retries + (not counted)::int;
        allot_day := s.allot_day;
    end if;

    if p_verdict <> 'record' and p_standing is not null then
        perform use_standing(p_tenant, p_run, p_step, p_call, p_standing);
    end if;
    fence := coalesce(j.fence, 0) + 1;
    chained := sha256(s.audit_head || convert_to(p_audit, 'UTF8'));
    insert into audit (tenant, run_id, seq, kind, body, hash)
        values (p_tenant, p_run, s.audit_seq + 1, 'decided', p_audit, chained);
    if p_message is not null then
        insert into messages (tenant, run_id, seq, step, call, tokens, content)
            values (p_tenant, p_run, s.message_seq + 1, p_step, p_call, p_message_tokens, p_message);
    end if;
    insert into journal as r (tenant, run_id, step, call, visit, state, fence, tool, control, message_seq, decision_seq, done_at)
        values (p_tenant, p_run, p_step, p_call, p_visit, case p_verdict when 'record' then 'done' else 'reserved' end, fence,
            p_tool, case p_verdict when 'record' then p_control end,
            case when p_message is not null then s.message_seq + 1 end, s.audit_seq + 1,
            case p_verdict when 'record' then now() end)
        on conflict (tenant, run_id, step, call, visit) do update set state = excluded.state, fence = excluded.fence,
            control = excluded.control, message_seq = excluded.message_seq, decision_seq = excluded.decision_seq,
            done_at = excluded.done_at;
    if p_verdict = 'write' then
        effect_fence := coalesce(e.fence, 0) + 1;
        insert into effects as r (tenant, run_id, step, call, tool, tool_version, service, arguments_digest, arguments,
                natural_key, state, fence, amount_minor, currency, money_period, request_id)
            values (p_tenant, p_run, p_step, p_call, p_tool, (p_effect ->> 'tool_version')::int, p_effect ->> 'service',
                p_effect ->> 'arguments_digest', p_effect ->> 'arguments', deed, 'prepared', effect_fence,
                (p_effect ->> 'amount_minor')::bigint, currency_moved, money_period, p_effect ->> 'request_id')
            on conflict (tenant, run_id, step, call) do update set state = 'prepared', fence = excluded.fence,
                request_id = excluded.request_id, updated_at = now();
    end if;
    update run_state r set version = s.version + 1, audit_seq = s.audit_seq + 1, audit_head = chained,
            message_seq = s.message_seq + (p_message is not null)::int,
            tool_calls = s.tool_calls + (p_verdict <> 'record' and counted)::int, retries = s.retries,
            left_tool_calls = s.left_tool_calls, left_retries = s.left_retries, left_wall_s = s.left_wall_s,
            admitted = case when p_verdict <> 'record' and counted then jsonb_set(s.admitted, array[p_tool],
                to_jsonb(coalesce((s.admitted ->> p_tool)::bigint, 0) + 1)) else s.admitted end,
            money_minor = case when p_verdict = 'write' and e.state is null and currency_moved is not null then
                jsonb_set(s.money_minor, array[currency_moved], to_jsonb(coalesce((s.money_minor ->> currency_moved)::bigint, 0)
                    + (p_effect ->> 'amount_minor')::bigint)) else s.money_minor end
        where r.tenant = p_tenant and r.run_id = p_run;
    kind := case p_verdict when 'record' then 'recorded' else 'admitted' end;
    if p_verdict = 'read' then epoch := current_epoch(p_tenant, p_run, p_agent, p_tool); end if;
end $$;

drop function if exists deed_done;
create function deed_done(p_tenant text, p_tool text, p_deed text) returns boolean language sql stable as $$
    -- Whether this deed has been done before, by any run of the tenant.
    select p_deed <> '' and exists (
        select 1 from effects r where r.tenant = p_tenant and r.tool = p_tool and r.natural_key = p_deed
            -- What a person closed without knowing may have happened.
            and r.state in ('succeeded', 'abandoned'))
$$;

drop function if exists finish_call;
create function finish_call(
    p_tenant text, p_run text, p_step int, p_call int, p_visit int, p_tool text, p_fence int,
    p_control text, p_message text, p_message_tokens int, p_completed boolean, p_tainted boolean, p_audit text,
    p_effect_state text, p_effect_fence int, p_output text, p_error text, -- of a write
    p_day text, p_wall_back_s int, -- the day of the admission, and what of its time was not used
    p_retries int, -- attempts beyond the first
    p_shrinks text, -- limits: only when what became of the call shrinks them
    out kind text -- finished, or lost: a later attempt took over
) language plpgsql as $$
declare
    s run_state;
    e effects;
    chained bytea;
begin
    perform take_tenant(p_tenant);
    select * into s from run_state r where r.tenant = p_tenant and r.run_id = p_run for update;
    if s.closed then kind := 'lost'; return; end if;
    perform 1 from journal r where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step and r.call = p_call
        and r.visit = p_visit and r.state = 'reserved' and r.fence = p_fence;
    if not found then kind := 'lost'; return; end if;
    if p_effect_state is not null then
        update effects r set state = p_effect_state, output = p_output, error = p_error, updated_at = now(),
                lease_until = null
            where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step and r.call = p_call
                and r.fence = p_effect_fence and r.state in ('prepared', 'in_flight')
            returning * into e;
        -- Its lease lapsed and the effect was put in doubt: what this attempt knows counts no more.
        if not found then kind := 'lost'; return; end if;
    end if;
    update journal r set state = 'done', control = p_control, done_at = now(),
            message_seq = case when p_message is not null then s.message_seq + 1 end
        where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step and r.call = p_call and r.visit = p_visit;
    chained := sha256(s.audit_head || convert_to(p_audit, 'UTF8'));
    insert into audit (tenant, run_id, seq, kind, body, hash)
        values (p_tenant, p_run, s.audit_seq + 1, 'finished', p_audit, chained);
    if p_message is not null then
        insert into messages (tenant, run_id, seq, step, call, tokens, content)
            values (p_tenant, p_run, s.message_seq + 1, p_step, p_call, p_message_tokens, p_message);
    end if;
    update run_state r set version = s.version + 1, audit_seq = s.audit_seq + 1, audit_head = chained,
            message_seq = s.message_seq + (p_message is not null)::int,
            effects = s.effects + coalesce((p_effect_state = 'succeeded')::int, 0),
            tainted = s.tainted or p_tainted, retries = s.retries + p_retries,
            left_retries = s.left_retries - case when s.allot_day = p_day then p_retries else 0 end,
            left_wall_s = s.left_wall_s + case when s.allot_day = p_day then p_wall_back_s else 0 end,
            limit_changes = case when p_shrinks is null then s.limit_changes else shrunk(s, p_shrinks::json) end,
            completed = case when p_completed then jsonb_set(s.completed, array[p_tool],
                to_jsonb(coalesce((s.completed ->> p_tool)::bigint, 0) + 1)) else s.completed end,
            -- Only an effect that certainly did not happen gives its reservation back.
            money_minor = case when p_effect_state = 'failed_final' and e.currency is not null then
                jsonb_set(s.money_minor, array[e.currency],
                    to_jsonb((s.money_minor ->> e.currency)::bigint - e.amount_minor)) else s.money_minor end
        where r.tenant = p_tenant and r.run_id = p_run;
    kind := 'finished';
end $$;

drop function if exists tell_call;
create function tell_call( -- answer a visit that ended without running: the call is settled then
    p_tenant text, p_run text, p_step int, p_call int, p_visit int, p_message text, p_message_tokens int
) returns void language plpgsql as $$
declare
    seq_now int;
begin
    update run_state r set message_seq = r.message_seq + 1, version = r.version + 1
        where r.tenant = p_tenant and r.run_id = p_run returning message_seq into seq_now;
    update journal r set message_seq = seq_now where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step
        and r.call = p_call and r.visit = p_visit and r.message_seq is null;
    if not found then
        raise exception 'step % call % visit % is settled already', p_step, p_call, p_visit;
    end if;
    insert into messages (tenant, run_id, seq, step, call, tokens, content)
        values (p_tenant, p_run, seq_now, p_step, p_call, p_message_tokens, p_message);
end $$;
