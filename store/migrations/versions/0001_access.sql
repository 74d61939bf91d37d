-- Two roles that own nothing and cannot pass row-level security. A process connects as a login that is a member of
-- one of them and takes it on at connect (`options=-c role=…`). The owner of the tables only migrates.
do $$
begin
    create role countersign_app nologin nosuperuser nobypassrls;
exception when duplicate_object or unique_violation then null; -- roles belong to the cluster, not to the database
end $$;
do $$
begin
    create role countersign_dispatch nologin nosuperuser nobypassrls;
exception when duplicate_object or unique_violation then null;
end $$;
grant countersign_app, countersign_dispatch to current_user;
grant usage on schema public to countersign_app, countersign_dispatch;

grant select, insert on definitions, audit to countersign_app;
grant select, insert, update on runs, run_state, journal, effects, inbox, approval_requests, votes, agent_states,
    switches, accounts to countersign_app;
grant select, insert on messages, alarms, notices to countersign_app;
grant select, insert, update, delete on sessions, breakers, cached_reads to countersign_app;
grant select, insert, delete on device_sign_ins to countersign_app;
grant update (interval_s, polled_at, state, username, multi_factor, authenticated_at, session_ends_at)
    on device_sign_ins to countersign_app; -- never who asked for what
grant select, insert on session_changes to countersign_app;
grant select, insert, update on counters, rate_windows to countersign_app;
grant select, insert, update on vote_keys, credential_keys to countersign_app;
grant select, insert on revocations, agent_changes to countersign_app;
grant select, insert on switch_receipts, run_reads, call_revisions, argument_schemas, seen_pages to countersign_app;
grant select, insert, update on checks, emergencies, commands, pauses, undo_orders to countersign_app;
grant select, insert, update on decoys, effect_reviews, packet_ratings, request_views, review_marks to countersign_app;
grant select, insert, update, delete on approval_terms to countersign_app;
grant select, insert on api_tokens, api_token_changes to countersign_app;
grant update (last_used_at, revoked_at, revoked_by) on api_tokens to countersign_app; -- never its scopes or its life

grant select, insert on standing_approvals, standing_uses, standing_votes to countersign_app;
grant update (state, decided_at, revoked_by, revoked_at, revoke_reason) on standing_approvals to countersign_app;

grant select, insert on delegations to countersign_app;
grant update (ended_at, ended_by) on delegations to countersign_app; -- never whose, to whom, or for longer

grant select, insert on passkeys, passkey_events, vote_assertions to countersign_app;
grant update (sign_count, last_used_at, removed_at, lost) on passkeys to countersign_app; -- never its key or whose it is
grant select, insert, delete on passkey_challenges to countersign_app;

-- The dispatchers see every tenant, but only what waits to be delivered.
grant select, update on inbox, votes to countersign_dispatch;
grant select on revocations to countersign_dispatch;
grant select, update on commands to countersign_dispatch;
grant select on pauses, switches, agent_states to countersign_dispatch; -- whether what halted a run still holds

do $$
declare
    name text;
begin
    foreach name in array array['definitions', 'runs', 'run_state', 'messages', 'journal', 'effects', 'audit', 'inbox',
        'alarms', 'approval_requests', 'votes', 'agent_states', 'agent_changes', 'revocations', 'switches', 'accounts',
        'switch_receipts', 'run_reads', 'checks', 'emergencies', 'commands', 'pauses', 'undo_orders',
        'sessions', 'notices', 'breakers', 'cached_reads', 'counters', 'rate_windows', 'delegations',
        'call_revisions', 'argument_schemas', 'seen_pages', 'approval_terms', 'api_tokens', 'api_token_changes',
        'standing_approvals', 'standing_uses', 'standing_votes', 'decoys', 'effect_reviews', 'packet_ratings', 'request_views', 'review_marks',
        'device_sign_ins', 'session_changes',
        'passkeys', 'passkey_challenges', 'passkey_events', 'vote_assertions']
    loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format($policy$create policy tenant_wall on %I to countersign_app
            using (tenant = current_setting('countersign.tenant', true))
            with check (tenant = current_setting('countersign.tenant', true))$policy$, name);
    end loop;
end $$;

-- A switch of tenant * holds for everybody: every tenant reads it; setting it takes the tenant * itself.
create policy everywhere on switches for select to countersign_app using (tenant = '*');
create policy everywhere on revocations for select to countersign_app using (tenant = '*');
create policy deliver on revocations for select to countersign_dispatch using (true);
create policy deliver on inbox to countersign_dispatch using (true) with check (true);
create policy deliver on votes to countersign_dispatch using (true) with check (true);
create policy deliver on commands to countersign_dispatch using (true) with check (true);
create policy deliver on pauses for select to countersign_dispatch using (true);
create policy deliver on switches for select to countersign_dispatch using (true);
create policy deliver on agent_states for select to countersign_dispatch using (true);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'table % is append-only', tg_table_name using errcode = 'insufficient_privilege';
end $$;
create trigger append_only before update or delete on audit for each row execute function refuse_change();
create trigger append_only_truncate before truncate on audit for each statement execute function refuse_change();
create trigger append_only before update or delete on messages for each row execute function refuse_change();
create trigger append_only before update or delete on revocations for each row execute function refuse_change();
create trigger append_only before update or delete on agent_changes for each row execute function refuse_change();
create trigger append_only before update or delete on switch_receipts for each row execute function refuse_change();
create trigger append_only before update or delete on call_revisions for each row execute function refuse_change();
create trigger append_only before update or delete on seen_pages for each row execute function refuse_change();
create trigger append_only before update or delete on run_reads for each row execute function refuse_change();
create trigger append_only before update or delete on standing_uses for each row execute function refuse_change();
create trigger append_only before update or delete on standing_votes for each row execute function refuse_change();
create trigger ended before update on standing_approvals for each row when (old.state in ('denied', 'revoked'))
    execute function refuse_change();
create trigger append_only before update or delete on passkey_events for each row execute function refuse_change();
create trigger append_only before update or delete on vote_assertions for each row execute function refuse_change();
create trigger ended before update on passkeys for each row when (old.removed_at is not null)
    execute function refuse_change();
create trigger append_only before update or delete on session_changes for each row execute function refuse_change();
create trigger append_only before update or delete on api_token_changes for each row execute function refuse_change();
create trigger ended before update on delegations for each row when (old.ended_at is not null)
    execute function refuse_change();
-- What was said of an effect, and what became of a test request, stands.
create trigger labelled before update on effect_reviews for each row when (old.label <> '')
    execute function refuse_change();
create trigger ended before update on decoys for each row when (old.ended_at is not null)
    execute function refuse_change();
