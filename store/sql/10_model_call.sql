-- The two phases of a model call. Each is one statement for its caller: it sets the tenant, locks the run's hot row,
-- and everything it writes commits together.

drop function if exists reserve_model_call;
create function reserve_model_call(
    p_tenant text, p_run text, p_step int,
    p_overhead_tokens bigint, p_output_tokens bigint,
    p_input_price bigint, p_output_price bigint, -- micro-dollars per million tokens, the dearest that can apply
    p_limit_steps int, p_limit_tokens bigint, p_limit_micros bigint,
    p_limit_retries int, p_limit_context bigint,
    p_wall_s int, p_limits text, -- of the day: see 50_limits.sql
    p_known_seq int, p_known_tokens bigint, -- messages up to that one are known to the caller, and so many tokens
    p_agent text,
    out kind text, -- stored, reserved, limit, halted, closed, absent
    out fence int, out limit_name text,
    out control text, -- of stored: the answer's entry in the audit chain; of halted: by what
    out messages text, -- of reserved: those after p_known_seq; of stored: the answer
    out message_seq int, out message_tokens bigint, -- the last of them, and the tokens of all that were returned
    out tokens_lost bigint, out micros_lost bigint,
    out allot_day text, -- the day that the call is counted on
    out malformed int -- malformed answers in a row so far
) language plpgsql as $$
declare
    s run_state;
    j journal;
    input_tokens bigint;
    need_tokens bigint;
    need_micros bigint;
    again int; -- 1: an earlier attempt may have been charged, so this is a retry
    drawn record;
begin
    perform take_tenant(p_tenant);
    -- Not waited for until it is on disk: nothing is lost with it that `settle_model_call` does not make good.
    perform set_config('synchronous_commit', 'off', true);
    perform pg_advisory_xact_lock_shared(7301); -- a kill switch stops spending too
    select * into s from run_state r where r.tenant = p_tenant and r.run_id = p_run for update;
    if not found then kind := 'absent'; return; end if;
    select * into j from journal r
        where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step and r.call = -1 and r.visit = 1;
    if j.state = 'done' then
        kind := 'stored';
        select a.body into control from audit a
            where a.tenant = p_tenant and a.run_id = p_run and a.seq = j.decision_seq;
        select m.content into messages from messages m
            where m.tenant = p_tenant and m.run_id = p_run and m.seq = j.message_seq;
        return;
    end if;
    if s.closed then kind := 'closed'; return; end if;
    control := halted_by(p_tenant, p_run, p_agent, '');
    if control is not null then kind := 'halted'; return; end if;

    malformed := s.malformed;
    -- An earlier attempt reserved and never settled: its answer is lost, so it counts as charged.
    again := coalesce(j.tokens_reserved > 0, false)::int;
    tokens_lost := coalesce(j.tokens_lost, 0) + coalesce(j.tokens_reserved, 0);
    micros_lost := coalesce(j.micros_lost, 0) + coalesce(j.micros_reserved, 0);
    s.tokens_used := s.tokens_used + coalesce(j.tokens_reserved, 0);
    s.micros_used := s.micros_used + coalesce(j.micros_reserved, 0);
    s.tokens_reserved := s.tokens_reserved - coalesce(j.tokens_reserved, 0);
    s.micros_reserved := s.micros_reserved - coalesce(j.micros_reserved, 0);

    select coalesce(sum(m.tokens), 0), '[' || string_agg(m.content, ',' order by m.seq) || ']'
        into message_tokens, messages
        from messages m where m.tenant = p_tenant and m.run_id = p_run and m.seq > p_known_seq;
    message_seq := s.message_seq;
    input_tokens := p_known_tokens + message_tokens + p_overhead_tokens;
    need_tokens := input_tokens + p_output_tokens;
    need_micros := ceil(input_tokens * p_input_price / 1e6) + ceil(p_output_tokens * p_output_price / 1e6);
    limit_name := case
        when p_step > p_limit_steps + raised_by(s.limit_changes, 'steps') then 'steps'
        when input_tokens > p_limit_context then 'context_tokens'
        when s.tokens_used + s.tokens_reserved + need_tokens > p_limit_tokens + raised_by(s.limit_changes, 'tokens')
            then 'tokens'
        when s.micros_used + s.micros_reserved + need_micros > p_limit_micros + raised_by(s.limit_changes, 'usd')
            then 'usd'
        when s.retries + again > p_limit_retries + raised_by(s.limit_changes, 'retries') then 'retries'
    end;
    if limit_name is null and (s.allot_until is null or clock_timestamp() >= s.allot_until
        or s.left_tokens < need_tokens or s.left_micros < need_micros or s.left_model_calls < 1 or s.left_retries < again
        or s.left_wall_s < p_wall_s) then
        select * into drawn from draw_allotment(s, p_agent, p_limits::json,
            array[need_tokens, need_micros, 1, 0, again, p_wall_s]);
        s := drawn.state;
        limit_name := drawn.denied;
    end if;
    allot_day := s.allot_day;
    kind := case when limit_name is null then 'reserved' else 'limit' end;
    if kind = 'limit' then
        need_tokens := 0; need_micros := 0; messages := null;
    else
        s.left_tokens := s.left_tokens - need_tokens; s.left_micros := s.left_micros - need_micros;
        s.left_model_calls := s.left_model_calls - 1; s.left_retries := s.left_retries - again;
        s.left_wall_s := s.left_wall_s - p_wall_s; s.retries := s.retries + again;
    end if;

    fence := coalesce(j.fence, 0) + 1;
    insert into journal as r (tenant, run_id, step, call, visit, state, fence, tokens_reserved, micros_reserved,
            tokens_lost, micros_lost)
        values (p_tenant, p_run, p_step, -1, 1, 'reserved', fence, need_tokens, need_micros, nullif(tokens_lost, 0),
            nullif(micros_lost, 0))
        on conflict (tenant, run_id, step, call, visit) do update set fence = excluded.fence,
            tokens_reserved = excluded.tokens_reserved, micros_reserved = excluded.micros_reserved,
            tokens_lost = excluded.tokens_lost, micros_lost = excluded.micros_lost;
    update run_state r set tokens_used = s.tokens_used, micros_used = s.micros_used,
            tokens_reserved = s.tokens_reserved + need_tokens, micros_reserved = s.micros_reserved + need_micros,
            left_tokens = s.left_tokens, left_micros = s.left_micros, left_model_calls = s.left_model_calls,
            left_retries = s.left_retries, left_wall_s = s.left_wall_s, retries = s.retries, version = s.version + 1
        where r.tenant = p_tenant and r.run_id = p_run;
end $$;

drop function if exists release_model_call;
create function release_model_call( -- an attempt that certainly was not charged gives its reservation back
    p_tenant text, p_run text, p_step int, p_fence int, p_day text, p_wall_s int
) returns boolean language plpgsql as $$
declare
    j journal;
begin
    perform take_tenant(p_tenant);
    perform 1 from run_state r where r.tenant = p_tenant and r.run_id = p_run for update;
    select * into j from journal r where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step and r.call = -1
        and r.visit = 1 and r.state = 'reserved' and r.fence = p_fence and r.tokens_reserved > 0;
    if not found then return false; end if;
    update journal r set tokens_reserved = 0, micros_reserved = 0
        where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step and r.call = -1 and r.visit = 1;
    update run_state r set tokens_reserved = tokens_reserved - j.tokens_reserved,
            micros_reserved = micros_reserved - j.micros_reserved, version = version + 1,
            -- What was counted on a day that is over stays counted there.
            left_tokens = left_tokens + case when allot_day = p_day then j.tokens_reserved else 0 end,
            left_micros = left_micros + case when allot_day = p_day then j.micros_reserved else 0 end,
            left_model_calls = left_model_calls + coalesce(allot_day = p_day, false)::int,
            left_wall_s = left_wall_s + case when allot_day = p_day then p_wall_s else 0 end
        where r.tenant = p_tenant and r.run_id = p_run;
    return true;
end $$;

drop function if exists settle_model_call;
create function settle_model_call(
    p_tenant text, p_run text, p_step int, p_fence int,
    p_tokens bigint, p_micros bigint,
    p_contents text[], p_calls int[], p_estimates int[], -- messages: the answer, then what the model is told about it
    p_audit text,
    p_day text, p_wall_back_s int, -- the day of the reservation, and what of its time was not used
    p_malformed boolean, p_shrinks text, -- limits: only when this answer shrinks them
    p_durable boolean, -- whether it is waited for until it is on disk
    p_agent text, p_tool text, p_values_after int, p_zone text, -- the first call that the answer proposes, if any: it is loaded as well
    out kind text, -- settled, or lost: a later attempt took over
    -- as `load_call`
    out known boolean, out stored text, out stored_decision text, out stored_message text, out proposal text,
    out run json, out agent json, out effect json, out settled_visit int, out counted boolean,
    out halted_by text, out now_s bigint, out today json, out recorded text, out recorded_seq int
) language plpgsql as $$
declare
    s run_state;
    j journal;
    chained bytea;
begin
    perform take_tenant(p_tenant);
    if not p_durable then perform set_config('synchronous_commit', 'off', true); end if;
    select * into s from run_state r where r.tenant = p_tenant and r.run_id = p_run for update;
    select * into j from journal r where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step and r.call = -1
        and r.visit = 1;
    if j.state is null and not s.closed then
        -- The database broke down before the reservation was on disk. The answer was paid for, and is settled as it is.
        insert into journal (tenant, run_id, step, call, visit, state, fence)
            values (p_tenant, p_run, p_step, -1, 1, 'reserved', p_fence) returning * into j;
    end if;
    if s.closed or j.state <> 'reserved' or j.fence <> p_fence then kind := 'lost'; return; end if;
    j.tokens_reserved := coalesce(j.tokens_reserved, 0); j.micros_reserved := coalesce(j.micros_reserved, 0);
    insert into messages (tenant, run_id, seq, step, call, tokens, content)
        select p_tenant, p_run, s.message_seq + n, p_step, c, e, t
        from unnest(p_contents, p_calls, p_estimates) with ordinality as m(t, c, e, n);
    chained := sha256(s.audit_head || convert_to(p_audit, 'UTF8'));
    insert into audit (tenant, run_id, seq, kind, body, hash)
        values (p_tenant, p_run, s.audit_seq + 1, 'model_replied', p_audit, chained);
    update journal r set state = 'done', message_seq = s.message_seq + 1,
            decision_seq = s.audit_seq + 1, done_at = now(), tokens_reserved = null, micros_reserved = null
        where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step and r.call = -1 and r.visit = 1;
    update run_state r set version = s.version + 1, audit_seq = s.audit_seq + 1, audit_head = chained,
            message_seq = s.message_seq + cardinality(p_contents), steps = greatest(s.steps, p_step),
            model_calls = s.model_calls + 1,
            tokens_used = s.tokens_used + p_tokens, tokens_reserved = s.tokens_reserved - j.tokens_reserved,
            micros_used = s.micros_used + p_micros, micros_reserved = s.micros_reserved - j.micros_reserved,
            malformed = case when p_malformed then s.malformed + 1 else 0 end,
            limit_changes = case when p_shrinks is null then s.limit_changes else shrunk(s, p_shrinks::json) end,
            left_tokens = s.left_tokens + case when s.allot_day = p_day then j.tokens_reserved - p_tokens else 0 end,
            left_micros = s.left_micros + case when s.allot_day = p_day then j.micros_reserved - p_micros else 0 end,
            left_wall_s = s.left_wall_s + case when s.allot_day = p_day and j.tokens_reserved > 0 then p_wall_back_s else 0 end
        where r.tenant = p_tenant and r.run_id = p_run;
    kind := 'settled';
    if p_tool is not null then
        -- What the gate asks first, in one statement less. It holds only as long as `admit_call` finds nothing changed.
        select l.known, l.stored, l.stored_decision, l.stored_message, l.proposal, l.run, l.agent, l.effect,
                l.settled_visit, l.counted, l.halted_by, l.now_s, l.today, l.recorded, l.recorded_seq
            into known, stored, stored_decision, stored_message, proposal, run, agent, effect,
                settled_visit, counted, halted_by, now_s, today, recorded, recorded_seq
            from load_call(p_tenant, p_run, p_step, 0, 1, p_agent, p_tool, p_values_after, p_zone) l;
    end if;
end $$;
