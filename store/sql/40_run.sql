-- Begin and end of a run.

drop function if exists open_run;
create function open_run( -- insert, or return what an earlier attempt or an earlier part of the run inserted
    p_tenant text, p_run text, p_agent text, p_agent_version int, p_definition text, p_body text,
    p_endpoint text, p_event_id text, p_parent text, p_root text, p_on_behalf_of text, p_interested jsonb, p_trusted jsonb, p_goal text,
    p_contents text[], p_estimates int[], p_audit text,
    out definition text, out opened_s bigint
) language plpgsql as $$
declare
    genesis bytea := sha256(convert_to(p_tenant || '/' || p_run, 'UTF8'));
    chained bytea := sha256(genesis || convert_to(p_audit, 'UTF8'));
begin
    perform take_tenant(p_tenant);
    insert into runs (tenant, run_id, agent, agent_version, definition, endpoint, event_id, parent_run_id, root_run_id,
            on_behalf_of, interested, trusted_fields, goal)
        values (p_tenant, p_run, p_agent, p_agent_version, p_definition, p_endpoint, p_event_id, p_parent, p_root,
            p_on_behalf_of, p_interested, p_trusted, p_goal)
        on conflict do nothing;
    if found then
        insert into definitions (tenant, digest, agent, body) values (p_tenant, p_definition, p_agent, p_body)
            on conflict do nothing;
        insert into run_state (tenant, run_id, audit_head, audit_seq, message_seq)
            values (p_tenant, p_run, chained, 1, cardinality(p_contents));
        insert into audit (tenant, run_id, seq, kind, body, hash)
            values (p_tenant, p_run, 1, 'opened', p_audit, chained);
        insert into messages (tenant, run_id, seq, step, tokens, content)
            select p_tenant, p_run, n, 0, e, t from unnest(p_contents, p_estimates) with ordinality as m(t, e, n);
    end if;
    select r.definition, floor(extract(epoch from r.opened_at)) into definition, opened_s
        from runs r where r.tenant = p_tenant and r.run_id = p_run;
end $$;

drop function if exists load_opening;
create function load_opening( -- the inbox row that vouches for a run, and the keys that it pins
    p_tenant text, p_endpoint text, p_event_id text,
    out event text, out agent text, out run_id text, out on_behalf_of text, out keys json,
    out definition text, out opened_s bigint -- null: it was not opened yet
) language plpgsql stable as $$
begin
    perform take_tenant(p_tenant);
    select i.event, i.agent, i.run_id, i.on_behalf_of into event, agent, run_id, on_behalf_of from inbox i
        where i.tenant = p_tenant and i.endpoint = p_endpoint and i.event_id = p_event_id;
    select coalesce(json_object_agg(k.kid, k.public_jwk), '{}'::json) into keys from vote_keys k where k.retired_at is null;
    select r.definition, floor(extract(epoch from r.opened_at)) into definition, opened_s
        from runs r where r.tenant = p_tenant and r.run_id = load_opening.run_id;
end $$;

drop function if exists begin_closing;
create function begin_closing( -- what a run's end depends on; its unended effects are ended with it
    p_tenant text, p_run text, p_step int,
    out event text, -- null: none started it
    out effects json, -- the ledger's rows, in order
    out answer text, -- what the model said at the step, if anything
    out totals json,
    out agent text, out opened_us bigint, -- Unix time
    out was_closed boolean -- by an earlier attempt
) language plpgsql as $$
begin
    perform take_tenant(p_tenant);
    if exists (select 1 from effects e where e.tenant = p_tenant and e.run_id = p_run
        and e.state in ('prepared', 'in_flight')) then
        perform end_effects(p_tenant, p_run);
    end if;
    select i.event into event from inbox i where i.tenant = p_tenant and i.run_id = p_run;
    select coalesce(json_agg(x), '[]'::json) into effects from (
        select e.step, e.call, e.tool, e.state, e.arguments, e.output, e.error, e.amount_minor, e.currency
        from effects e where e.tenant = p_tenant and e.run_id = p_run order by e.step, e.call) x;
    select m.content into answer from journal j join messages m
            on m.tenant = j.tenant and m.run_id = j.run_id and m.seq = j.message_seq
        where j.tenant = p_tenant and j.run_id = p_run and j.step = p_step and j.call = -1 and j.visit = 1
            and j.state = 'done';
    select to_json(x) into totals from (
        -- A reservation that nobody settled counts as used: it may have been charged.
        select s.steps, s.model_calls, s.tool_calls, s.effects, s.tokens_used + s.tokens_reserved as tokens,
            s.micros_used + s.micros_reserved as micros,
            (select count(*) from effects e where e.tenant = s.tenant and e.run_id = s.run_id
                and e.state in ('unknown', 'in_flight')) as unknown,
            (select round(coalesce(sum(w.attended_ms), 0) / 1000)::int from request_views w
                where w.tenant = s.tenant and w.run_id = s.run_id) as people_s
        from run_state s where s.tenant = p_tenant and s.run_id = p_run) x;
    select r.agent, floor(extract(epoch from r.opened_at) * 1000000), r.closed_at is not null
        into agent, opened_us, was_closed from runs r where r.tenant = p_tenant and r.run_id = p_run;
end $$;

drop function if exists close_run;
create function close_run( -- once: a second close returns what the first one stored
    p_tenant text, p_run text, p_outcome text, p_reason text, p_detail text, p_report text, p_audit text,
    out report text
) language plpgsql as $$
declare
    s run_state;
begin
    perform take_tenant(p_tenant);
    select * into s from run_state r where r.tenant = p_tenant and r.run_id = p_run for update;
    if not s.closed then
        perform settle_limits(p_tenant, p_run);
        perform end_effects(p_tenant, p_run);
        perform append_audit(p_tenant, p_run, 'closed', p_audit);
        update pauses r set ended_at = now() where r.tenant = p_tenant and r.run_id = p_run and r.ended_at is null;
        update run_state r set closed = true, version = r.version + 1 where r.tenant = p_tenant and r.run_id = p_run;
        update runs r set closed_at = now(), outcome = p_outcome, reason = p_reason, detail = p_detail, report = p_report
            where r.tenant = p_tenant and r.run_id = p_run;
    end if;
    select r.report into report from runs r where r.tenant = p_tenant and r.run_id = p_run;
end $$;
