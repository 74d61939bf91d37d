-- Rates and running totals of money per tool, decided with the admission that they bound.

drop function if exists take_turn;
create function take_turn( -- a call in the window of a tool's rate; no 60 seconds ever hold more than the rate
    p_tenant text, p_tool text, p_rate int,
    out wait_s double precision -- null: taken; else when to come back
) language plpgsql as $$
declare
    w rate_windows;
    now_s double precision;
    passed bigint;
    gone bigint := 0;
    in_window bigint;
begin
    loop
        select * into w from rate_windows r where r.tenant = p_tenant and r.tool = p_tool for update;
        exit when found;
        insert into rate_windows (tenant, tool, at_s, calls) values (p_tenant, p_tool, 0, array_fill(0, array[61]))
            on conflict do nothing;
    end loop;
    now_s := extract(epoch from clock_timestamp()); -- after the lock: whoever comes later is later
    passed := least(greatest(floor(now_s)::bigint - w.at_s, 0), 61);
    w.at_s := greatest(w.at_s, floor(now_s)::bigint);
    w.calls := w.calls[passed + 1:61] || array_fill(0, array[passed::int]);
    in_window := (select sum(n) from unnest(w.calls) n);
    if in_window < p_rate then
        w.calls[61] := w.calls[61] + 1;
        update rate_windows r set at_s = w.at_s, calls = w.calls where r.tenant = p_tenant and r.tool = p_tool;
        return;
    end if;
    for i in 1..61 loop
        gone := gone + w.calls[i];
        if in_window - gone < p_rate then
            wait_s := greatest(w.at_s + i - now_s, 0.1); -- the second of place i leaves the window then
            return;
        end if;
    end loop;
    wait_s := 61;
end $$;

drop function if exists money_cap;
create function money_cap(p_caps json, p_currency text) returns bigint language sql immutable as $$
    -- Null: no cap. Where some currencies have a cap, one that is not listed may not be moved at all.
    select case when p_caps is null or p_caps::text = '{}' then null else coalesce((p_caps ->> p_currency)::bigint, 0) end
$$;

drop function if exists hold_call;
create function hold_call(
    p_state run_state, p_agent text, p_tool text, p_limits json,
    p_new boolean, -- a call that was not admitted before; else another attempt at one that was
    p_wall_s int, p_amount bigint, p_currency text, -- of a write that moves money and was not counted before
    p_decided_on json, -- calls and money of the day that policy decided on; null: policy does not look at them
    out state run_state, -- with an allotment that suffices; the call is not taken from it yet
    out kind text, -- held, limit, rate, stale
    out detail text, out retry_after_s double precision,
    out period text -- the day whose totals hold the money
) language plpgsql as $$
declare
    l constant json := p_limits;
    ends timestamptz;
    counts boolean := coalesce((l ->> 'by_day')::boolean, false);
    moves boolean := p_amount is not null and p_new;
    scopes constant text[] := array['agent', 'tenant', 'tool'];
    subjects constant text[] := array[p_agent, '*', p_tool];
    c counters;
    cap bigint;
    moved bigint;
    drawn record;
begin
    state := p_state;
    kind := 'held';
    if p_new and (counts or moves) then
        select x.period, x.ends into period, ends from period_of(l ->> 'zone') x;
        for n in 1..3 loop
            c := lock_counter(state.tenant, period, scopes[n], subjects[n]);
            moved := coalesce((c.money ->> p_currency)::bigint, 0);
            cap := money_cap(l -> 'money' -> scopes[n], p_currency) + coalesce((c.raised ->> p_currency)::bigint, 0);
            if moves and moved + p_amount > cap and kind = 'held' then
                kind := 'limit'; detail := scopes[n] || '_day.money.' || p_currency;
                perform alarm_of_day(state.tenant, period, detail, subjects[n]);
            end if;
        end loop;
        if p_decided_on is not null and ((p_decided_on ->> 'calls')::bigint <> c.tool_calls
            or (p_decided_on ->> 'money')::jsonb <> c.money) then
            kind := 'stale'; detail := 'today'; return;
        end if;
        if kind = 'limit' then return; end if;
        if (l ->> 'per_day')::bigint > 0 and c.tool_calls >= (l ->> 'per_day')::bigint then
            kind := 'rate'; detail := 'rate_per_day';
            retry_after_s := greatest(extract(epoch from ends - clock_timestamp()), 1);
            return;
        end if;
    end if;
    if state.allot_until is null or clock_timestamp() >= state.allot_until or state.left_tool_calls < p_new::int
        or state.left_retries < (not p_new)::int or state.left_wall_s < p_wall_s then
        select * into drawn from draw_allotment(state, p_agent, l, array[0, 0, 0, p_new::int, (not p_new)::int, p_wall_s]);
        state := drawn.state; detail := drawn.denied;
        if detail is not null then kind := 'limit'; return; end if;
    end if;
    if p_new and (l ->> 'per_minute')::int > 0 then
        retry_after_s := take_turn(state.tenant, p_tool, (l ->> 'per_minute')::int);
        if retry_after_s is not null then kind := 'rate'; detail := 'rate_per_minute'; return; end if;
    end if;
    if p_new and counts then
        update counters r set tool_calls = r.tool_calls + 1 where r.tenant = state.tenant and r.period = hold_call.period
            and r.scope = 'tool' and r.subject = p_tool;
    end if;
    if moves then
        perform add_money(state.tenant, period, p_agent, p_tool, p_currency, p_amount);
    end if;
end $$;

drop function if exists add_money;
create function add_money(p_tenant text, p_period text, p_agent text, p_tool text, p_currency text, p_amount bigint)
returns void language plpgsql as $$
declare
    scopes constant text[] := array['agent', 'tenant', 'tool'];
    subjects constant text[] := array[p_agent, '*', p_tool];
begin
    for n in 1..3 loop
        update counters r set money = jsonb_set(r.money, array[p_currency],
                to_jsonb(coalesce((r.money ->> p_currency)::bigint, 0) + p_amount))
            where r.tenant = p_tenant and r.period = p_period and r.scope = scopes[n] and r.subject = subjects[n];
    end loop;
end $$;

-- Only an effect that certainly did not happen gives its amount back, whoever finds that out: by trigger, so that no way
-- to that end can forget it.
create or replace function give_money_back() returns trigger language plpgsql as $$
begin
    perform add_money(new.tenant, new.money_period, (select r.agent from runs r where r.tenant = new.tenant
        and r.run_id = new.run_id), new.tool, new.currency, -new.amount_minor);
    return null;
end $$;
create or replace trigger give_money_back after update of state on effects for each row
    when (old.state <> 'failed_final' and new.state = 'failed_final' and new.money_period is not null)
    execute function give_money_back();

drop function if exists today_of;
create function today_of(p_tenant text, p_tool text, p_zone text) returns json language sql stable as $$
    -- What policy sees of the day: admitted calls of the tool in the tenant, and what it moved, per currency.
    select coalesce((select json_build_object('calls', c.tool_calls, 'money', c.money) from counters c
            where c.tenant = p_tenant and c.period = (select period from period_of(p_zone)) and c.scope = 'tool'
                and c.subject = p_tool),
        json_build_object('calls', 0, 'money', json_build_object()))
$$;
