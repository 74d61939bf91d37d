-- The two phases of a check before a call. A second model is paid for as the run's own model is: reserved before, settled
-- after, an answer that was lost counts as charged. See 10_model_call.sql.

drop function if exists reserve_check;
create function reserve_check(
    p_tenant text, p_run text, p_step int, p_call int, p_name text, p_revision int, p_agent text, p_tool text,
    p_tokens bigint, p_micros bigint, -- the most that the check can take; 0 where no model is asked
    p_limit_tokens bigint, p_limit_micros bigint, p_wall_s int, p_limits text,
    out kind text, -- stored, reserved, limit, halted, closed, absent
    out fence int, out limit_name text, out detail text, -- of stored: the result; of halted: by what
    out tokens_lost bigint, out micros_lost bigint, out allot_day text
) language plpgsql as $$
declare
    s run_state;
    c checks;
    asks int := (p_tokens > 0)::int;
    need_tokens bigint := p_tokens;
    need_micros bigint := p_micros;
    drawn record;
begin
    perform take_tenant(p_tenant);
    perform pg_advisory_xact_lock_shared(7301);
    select * into s from run_state r where r.tenant = p_tenant and r.run_id = p_run for update;
    if not found then kind := 'absent'; return; end if;
    select * into c from checks r where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step
        and r.call = p_call and r.name = p_name and r.revision = p_revision;
    if c.state = 'done' then kind := 'stored'; detail := c.result; return; end if;
    if s.closed then kind := 'closed'; return; end if;
    detail := switched_off(p_tenant, p_run, p_agent, p_tool);
    if detail is not null then kind := 'halted'; return; end if;

    tokens_lost := coalesce(c.tokens_lost, 0) + coalesce(c.tokens_reserved, 0);
    micros_lost := coalesce(c.micros_lost, 0) + coalesce(c.micros_reserved, 0);
    s.tokens_used := s.tokens_used + coalesce(c.tokens_reserved, 0);
    s.micros_used := s.micros_used + coalesce(c.micros_reserved, 0);
    s.tokens_reserved := s.tokens_reserved - coalesce(c.tokens_reserved, 0);
    s.micros_reserved := s.micros_reserved - coalesce(c.micros_reserved, 0);
    limit_name := case
        when s.tokens_used + s.tokens_reserved + need_tokens > p_limit_tokens + raised_by(s.limit_changes, 'tokens')
            then 'tokens'
        when s.micros_used + s.micros_reserved + need_micros > p_limit_micros + raised_by(s.limit_changes, 'usd')
            then 'usd'
    end;
    if asks > 0 and limit_name is null and (s.allot_until is null or clock_timestamp() >= s.allot_until
        or s.left_tokens < need_tokens or s.left_micros < need_micros or s.left_model_calls < 1
        or s.left_wall_s < p_wall_s) then
        select * into drawn from draw_allotment(s, p_agent, p_limits::json,
            array[need_tokens, need_micros, 1, 0, 0, p_wall_s]);
        s := drawn.state;
        limit_name := drawn.denied;
    end if;
    allot_day := s.allot_day;
    kind := case when limit_name is null then 'reserved' else 'limit' end;
    if kind = 'limit' then
        need_tokens := 0; need_micros := 0;
    elsif asks > 0 then
        s.left_tokens := s.left_tokens - need_tokens; s.left_micros := s.left_micros - need_micros;
        s.left_model_calls := s.left_model_calls - 1; s.left_wall_s := s.left_wall_s - p_wall_s;
    end if;
    fence := coalesce(c.fence, 0) + 1;
    insert into checks as r (tenant, run_id, step, call, name, revision, state, fence, tokens_reserved, micros_reserved,
            tokens_lost, micros_lost)
        values (p_tenant, p_run, p_step, p_call, p_name, p_revision, 'reserved', fence, need_tokens, need_micros,
            tokens_lost, micros_lost)
        on conflict (tenant, run_id, step, call, name, revision) do update set fence = excluded.fence,
            tokens_reserved = excluded.tokens_reserved, micros_reserved = excluded.micros_reserved,
            tokens_lost = excluded.tokens_lost, micros_lost = excluded.micros_lost;
    update run_state r set tokens_used = s.tokens_used, micros_used = s.micros_used,
            tokens_reserved = s.tokens_reserved + need_tokens, micros_reserved = s.micros_reserved + need_micros,
            left_tokens = s.left_tokens, left_micros = s.left_micros, left_model_calls = s.left_model_calls,
            left_wall_s = s.left_wall_s, version = s.version + 1
        where r.tenant = p_tenant and r.run_id = p_run;
end $$;

drop function if exists settle_check;
create function settle_check( -- true, or false where a later attempt took over
    p_tenant text, p_run text, p_step int, p_call int, p_name text, p_revision int, p_fence int,
    p_tokens bigint, p_micros bigint, p_day text, p_passed boolean, p_result text, p_audit text
) returns boolean language plpgsql as $$
declare
    c checks;
begin
    perform take_tenant(p_tenant);
    perform 1 from run_state r where r.tenant = p_tenant and r.run_id = p_run and not r.closed for update;
    if not found then return false; end if;
    select * into c from checks r where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step
        and r.call = p_call and r.name = p_name and r.revision = p_revision and r.state = 'reserved' and r.fence = p_fence;
    if not found then return false; end if;
    perform append_audit(p_tenant, p_run, 'checked', p_audit);
    update checks r set state = 'done', passed = p_passed, result = p_result, done_at = now(), tokens_reserved = 0,
            micros_reserved = 0
        where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step and r.call = p_call and r.name = p_name and r.revision = p_revision;
    update run_state r set version = r.version + 1,
            model_calls = r.model_calls + (c.tokens_reserved > 0)::int,
            tokens_used = r.tokens_used + p_tokens, tokens_reserved = r.tokens_reserved - c.tokens_reserved,
            micros_used = r.micros_used + p_micros, micros_reserved = r.micros_reserved - c.micros_reserved,
            left_tokens = r.left_tokens + case when r.allot_day = p_day then c.tokens_reserved - p_tokens else 0 end,
            left_micros = r.left_micros + case when r.allot_day = p_day then c.micros_reserved - p_micros else 0 end
        where r.tenant = p_tenant and r.run_id = p_run;
    return true;
end $$;
