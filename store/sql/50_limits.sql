-- Limits over many runs. A run draws an allotment of each measure from the day's counters of its agent and its tenant
-- (and of its run tree, where it is part of one), spends that under the lock of its own row, and gives the rest back
-- when it closes. Allotted counts as used, so no cap is passed; and runs queue on a shared row once a draw, not once a
-- call. Every check comes before the first write: a denial has nothing to roll back.
--
-- Locks, always in this order: the run's row, then the counters of agent, tenant, tool, tree, then a rate window.
-- `p_limits` is one JSON text for each agent and tool, made by `activities/limits.py`; vectors hold tokens, micros,
-- model_calls, tool_calls, retries, wall_s, in this order.

drop function if exists period_of;
create function period_of(p_zone text, out period text, out ends timestamptz) language sql stable as $$
    select to_char(l.now, 'YYYY-MM-DD'), (date_trunc('day', l.now) + interval '1 day') at time zone p_zone
    from (select clock_timestamp() at time zone p_zone as now) l
$$;

drop function if exists lock_counter;
create function lock_counter(p_tenant text, p_period text, p_scope text, p_subject text) returns counters
language plpgsql as $$
declare
    c counters;
begin
    loop
        select * into c from counters r where r.tenant = p_tenant and r.period = p_period and r.scope = p_scope
            and r.subject = p_subject for update;
        if found then return c; end if;
        insert into counters (tenant, period, scope, subject) values (p_tenant, p_period, p_scope, p_subject)
            on conflict do nothing;
    end loop;
end $$;

drop function if exists add_to_counter;
create function add_to_counter(p_tenant text, p_period text, p_scope text, p_subject text, p_amounts bigint[])
returns void language sql as $$
    update counters r set tokens = r.tokens + p_amounts[1], micros = r.micros + p_amounts[2],
            model_calls = r.model_calls + p_amounts[3], tool_calls = r.tool_calls + p_amounts[4],
            retries = r.retries + p_amounts[5], wall_s = r.wall_s + p_amounts[6]
        where r.tenant = p_tenant and r.period = p_period and r.scope = p_scope and r.subject = p_subject
$$;

drop function if exists return_allotment;
create function return_allotment(p_state run_state, p_agent text) returns void language plpgsql as $$
declare
    back bigint[] := array[-p_state.left_tokens, -p_state.left_micros, -p_state.left_model_calls,
        -p_state.left_tool_calls, -p_state.left_retries, -p_state.left_wall_s];
begin
    if p_state.allot_day is null then return; end if;
    perform add_to_counter(p_state.tenant, p_state.allot_day, 'agent', p_agent, back);
    perform add_to_counter(p_state.tenant, p_state.allot_day, 'tenant', '*', back);
    if p_state.tree is not null then
        perform add_to_counter(p_state.tenant, 'always', 'tree', p_state.tree, back);
    end if;
end $$;

drop function if exists alarm_of_day;
create function alarm_of_day( -- once a day for each cap that is met: somebody should know before the runs tell
    p_tenant text, p_period text, p_cap text, p_subject text
) returns void language sql as $$
    insert into alarms (tenant, kind, subject, detail)
        select p_tenant, 'day_limit_met', p_cap || ' ' || p_subject, jsonb_build_object('day', p_period)
        where not exists (select 1 from alarms a where a.tenant = p_tenant and a.at > now() - interval '2 days'
            and a.kind = 'day_limit_met' and a.subject = p_cap || ' ' || p_subject and a.detail ->> 'day' = p_period)
$$;

drop function if exists draw_allotment;
create function draw_allotment(
    p_state run_state, p_agent text, p_limits json, p_need bigint[],
    out state run_state, -- with the new allotment, which is stored already; `p_need` is not taken from it yet
    out denied text -- the counter that has too little, such as `tenant_day.tokens`; then nothing was drawn
) language plpgsql as $$
declare
    measures constant text[] := array['tokens', 'usd', 'model_calls', 'tool_calls', 'retries', 'wall_s'];
    scopes constant text[] := array['agent', 'tenant', 'tree'];
    subjects constant text[] := array[p_agent, '*', p_state.tree];
    today text; midnight timestamptz;
    held bigint[]; need bigint[]; free bigint[]; take bigint[]; used bigint[]; spent bigint[]; share bigint[];
    c counters;
    cap bigint;
begin
    state := p_state;
    select period, ends into today, midnight from period_of(p_limits ->> 'zone');
    if state.allot_day <> today then
        perform return_allotment(state, p_agent);
        state.left_tokens := 0; state.left_micros := 0; state.left_model_calls := 0; state.left_tool_calls := 0;
        state.left_retries := 0; state.left_wall_s := 0;
    end if;
    state.allot_day := today; state.allot_until := midnight;
    held := array[state.left_tokens, state.left_micros, state.left_model_calls, state.left_tool_calls,
        state.left_retries, state.left_wall_s];
    spent := array[state.tokens_used + state.tokens_reserved, state.micros_used + state.micros_reserved,
        state.model_calls, state.tool_calls, state.retries, 0];
    for n in 1..3 loop
        continue when subjects[n] is null;
        c := lock_counter(state.tenant, case scopes[n] when 'tree' then 'always' else today end, scopes[n], subjects[n]);
        used := array[c.tokens, c.micros, c.model_calls, c.tool_calls, c.retries, c.wall_s];
        for i in 1..6 loop
            need[i] := greatest(p_need[i] - held[i], 0);
            cap := coalesce((p_limits -> scopes[n] ->> (i - 1))::bigint, 0)
                + coalesce((c.raised ->> measures[i])::bigint, 0);
            if need[i] > greatest(cap - used[i], 0) and denied is null then
                denied := scopes[n] || case scopes[n] when 'tree' then '.' else '_day.' end || measures[i];
            end if;
            free[i] := least(coalesce(free[i], cap - used[i]), cap - used[i]);
            share[i] := least(coalesce(share[i], cap / 50), cap / 50);
        end loop;
        if denied is not null and scopes[n] <> 'tree' then
            perform alarm_of_day(state.tenant, today, denied, subjects[n]);
        end if;
        exit when denied is not null;
    end loop;
    if denied is null then
        for i in 1..6 loop
            -- More than is needed now, so that the next calls need no draw; but little of what all runs share.
            take[i] := greatest(need[i], case when held[i] <= 0 or need[i] > 0 then least(share[i], free[i],
                (p_limits -> 'run' ->> (i - 1))::bigint - spent[i] - held[i]) else 0 end);
        end loop;
        for n in 1..3 loop
            continue when subjects[n] is null;
            perform add_to_counter(state.tenant, case scopes[n] when 'tree' then 'always' else today end, scopes[n],
                subjects[n], take);
        end loop;
        state.left_tokens := held[1] + take[1]; state.left_micros := held[2] + take[2];
        state.left_model_calls := held[3] + take[3]; state.left_tool_calls := held[4] + take[4];
        state.left_retries := held[5] + take[5]; state.left_wall_s := held[6] + take[6];
    end if;
    update run_state r set allot_day = state.allot_day, allot_until = state.allot_until,
            left_tokens = state.left_tokens, left_micros = state.left_micros,
            left_model_calls = state.left_model_calls, left_tool_calls = state.left_tool_calls,
            left_retries = state.left_retries, left_wall_s = state.left_wall_s
        where r.tenant = state.tenant and r.run_id = state.run_id;
end $$;

drop function if exists raised_by;
create function raised_by(p_changes jsonb, p_limit text) returns bigint language sql immutable as $$
    -- By how much a limit of a run was raised (or, below 0, shrunk) since it was pinned.
    select coalesce((p_changes ->> p_limit)::bigint, 0)
$$;

drop function if exists shrunk;
create function shrunk(p_state run_state, p_limits json) returns jsonb language sql immutable as $$
    -- The run's limit changes after a doubt: half of what is left of tokens, cost and tool calls is gone.
    select coalesce(p_state.limit_changes, '{}'::jsonb) || jsonb_object_agg(x.name,
        x.changed - greatest(x.pinned + x.changed - x.spent, 0) / 2)
        || jsonb_build_object('doubts', raised_by(p_state.limit_changes, 'doubts') + 1)
    from (values
        ('tokens', (p_limits -> 'run' ->> 0)::bigint, raised_by(p_state.limit_changes, 'tokens'),
            p_state.tokens_used + p_state.tokens_reserved),
        ('usd', (p_limits -> 'run' ->> 1)::bigint, raised_by(p_state.limit_changes, 'usd'),
            p_state.micros_used + p_state.micros_reserved),
        ('tool_calls', (p_limits -> 'run' ->> 3)::bigint, raised_by(p_state.limit_changes, 'tool_calls'), p_state.tool_calls)
    ) x(name, pinned, changed, spent)
$$;

drop function if exists join_tree;
create function join_tree( -- one budget over a run and its children: that of the root's pinned limits, less what it used
    p_tenant text, p_root text, p_child text, p_limits json
) returns void language plpgsql as $$
declare
    s run_state;
    c counters;
begin
    perform take_tenant(p_tenant);
    select * into s from run_state r where r.tenant = p_tenant and r.run_id = p_root for update;
    if s.tree is null then
        c := lock_counter(p_tenant, 'always', 'tree', p_root);
        update counters r set
                tokens = s.tokens_used + s.tokens_reserved + s.left_tokens,
                micros = s.micros_used + s.micros_reserved + s.left_micros,
                model_calls = s.model_calls + s.left_model_calls,
                tool_calls = s.tool_calls + s.left_tool_calls, retries = s.retries + s.left_retries,
                wall_s = s.left_wall_s,
                raised = (select jsonb_object_agg(m.name, (p_limits -> 'run' ->> (m.n - 1)::int)::bigint
                        + raised_by(s.limit_changes, m.name))
                    from unnest(array['tokens', 'usd', 'model_calls', 'tool_calls', 'retries', 'wall_s'])
                        with ordinality m(name, n))
            where r.tenant = p_tenant and r.period = 'always' and r.scope = 'tree' and r.subject = p_root;
        update run_state r set tree = p_root, version = r.version + 1 where r.tenant = p_tenant and r.run_id = p_root;
    end if;
    update run_state r set tree = p_root where r.tenant = p_tenant and r.run_id = p_child;
end $$;

drop function if exists settle_limits;
create function settle_limits( -- when a run closes: what was reserved and never settled counts as charged, the rest goes back
    p_tenant text, p_run text
) returns void language plpgsql as $$
declare
    s run_state;
begin
    select * into s from run_state r where r.tenant = p_tenant and r.run_id = p_run for update;
    perform return_allotment(s, (select r.agent from runs r where r.tenant = p_tenant and r.run_id = p_run));
    update journal r set tokens_lost = coalesce(r.tokens_lost, 0) + r.tokens_reserved,
            micros_lost = coalesce(r.micros_lost, 0) + r.micros_reserved,
            tokens_reserved = 0, micros_reserved = 0
        where r.tenant = p_tenant and r.run_id = p_run and (r.tokens_reserved > 0 or r.micros_reserved > 0);
    update run_state r set tokens_used = s.tokens_used + s.tokens_reserved, tokens_reserved = 0,
            micros_used = s.micros_used + s.micros_reserved, micros_reserved = 0, allot_day = null, allot_until = null,
            left_tokens = 0, left_micros = 0, left_model_calls = 0, left_tool_calls = 0, left_retries = 0, left_wall_s = 0
        where r.tenant = p_tenant and r.run_id = p_run;
end $$;

drop function if exists change_limits;
create function change_limits( -- raise, or switch to drafts: once for each step and ordinal, with its record
    p_tenant text, p_run text, p_step int, p_ordinal int,
    p_changes jsonb, -- added to the run's own: numbers are added up, `drafts_only` is set
    p_day json, -- a raise of a day's cap: scope, subject, measure, by; or null
    p_message text, p_message_tokens int, p_kind text, p_audit text,
    out kind text -- done, stored, closed
) language plpgsql as $$
declare
    s run_state;
    c counters;
    entry int;
begin
    perform take_tenant(p_tenant);
    select * into s from run_state r where r.tenant = p_tenant and r.run_id = p_run for update;
    perform 1 from journal r where r.tenant = p_tenant and r.run_id = p_run and r.step = p_step and r.call = -2
        and r.visit = p_ordinal;
    if found then kind := 'stored'; return; end if;
    if s.closed then kind := 'closed'; return; end if;
    if p_day is not null and s.allot_day is not null then
        c := lock_counter(p_tenant, s.allot_day, p_day ->> 'scope', p_day ->> 'subject');
        update counters r set raised = jsonb_set(r.raised, array[p_day ->> 'measure'],
                to_jsonb(coalesce((r.raised ->> (p_day ->> 'measure'))::bigint, 0) + (p_day ->> 'by')::bigint))
            where r.tenant = p_tenant and r.period = s.allot_day and r.scope = p_day ->> 'scope'
                and r.subject = p_day ->> 'subject';
    end if;
    entry := append_audit(p_tenant, p_run, p_kind, p_audit);
    if p_message is not null then
        insert into messages (tenant, run_id, seq, step, tokens, content)
            values (p_tenant, p_run, s.message_seq + 1, p_step, p_message_tokens, p_message);
    end if;
    insert into journal (tenant, run_id, step, call, visit, state, message_seq, decision_seq, done_at)
        values (p_tenant, p_run, p_step, -2, p_ordinal, 'done',
            case when p_message is not null then s.message_seq + 1 end, entry, now());
    update run_state r set version = r.version + 1, message_seq = s.message_seq + (p_message is not null)::int,
            limit_changes = case when p_changes is null then s.limit_changes else coalesce(s.limit_changes, '{}'::jsonb)
                || (select jsonb_object_agg(k, to_jsonb(raised_by(s.limit_changes, k) + v::bigint)) from jsonb_each_text(p_changes) x(k, v))
            end
        where r.tenant = p_tenant and r.run_id = p_run;
    kind := 'done';
end $$;
