CREATE TABLE accounts (
    tenant VARCHAR NOT NULL,
    username VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    display_name VARCHAR NOT NULL,
    issuer VARCHAR DEFAULT 'local' NOT NULL,
    password_hash VARCHAR NOT NULL,
    groups TEXT[] NOT NULL,
    roles TEXT[] NOT NULL,
    disabled BOOLEAN DEFAULT false NOT NULL,
    failed_logins INTEGER DEFAULT '0' NOT NULL,
    locked_until TIMESTAMP WITH TIME ZONE,
    code_tries INTEGER DEFAULT '0' NOT NULL,
    code_tries_since TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (tenant, username)
);

CREATE TABLE agent_changes (
    tenant VARCHAR NOT NULL,
    agent VARCHAR NOT NULL,
    version BIGINT NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    verb VARCHAR NOT NULL,
    changed_by VARCHAR NOT NULL,
    role VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    before VARCHAR NOT NULL,
    after VARCHAR NOT NULL,
    PRIMARY KEY (tenant, agent, version)
);

CREATE TABLE agent_states (
    tenant VARCHAR NOT NULL,
    agent VARCHAR NOT NULL,
    enabled BOOLEAN NOT NULL,
    stage VARCHAR NOT NULL,
    tier_ceiling INTEGER NOT NULL,
    version BIGINT DEFAULT '1' NOT NULL,
    changed_by VARCHAR NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (tenant, agent)
);

CREATE TABLE alarms (
    alarm_id BIGINT GENERATED ALWAYS AS IDENTITY,
    tenant VARCHAR NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    kind VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    detail JSONB DEFAULT '{}'::jsonb NOT NULL,
    PRIMARY KEY (alarm_id)
);

CREATE INDEX alarms_newest ON alarms (tenant, at desc);

CREATE TABLE api_token_changes (
    tenant VARCHAR NOT NULL,
    token_id VARCHAR NOT NULL,
    verb VARCHAR NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    changed_by VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    scopes TEXT[] NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (tenant, token_id, verb)
);

CREATE TABLE api_tokens (
    tenant VARCHAR NOT NULL,
    token_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    token_hash BYTEA NOT NULL,
    scopes TEXT[] NOT NULL,
    created_by VARCHAR NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    revoked_by VARCHAR,
    PRIMARY KEY (tenant, token_id)
);

CREATE UNIQUE INDEX api_tokens_by_hash ON api_tokens (tenant, token_hash);

CREATE TABLE approval_requests (
    tenant VARCHAR NOT NULL,
    request_id VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    step INTEGER NOT NULL,
    call INTEGER NOT NULL,
    visit INTEGER NOT NULL,
    agent VARCHAR NOT NULL,
    tool VARCHAR NOT NULL,
    tier INTEGER NOT NULL,
    digest VARCHAR NOT NULL,
    basis VARCHAR NOT NULL,
    view VARCHAR NOT NULL,
    requirement VARCHAR NOT NULL,
    interested VARCHAR NOT NULL,
    escalated_to TEXT[] DEFAULT '{}' NOT NULL,
    state VARCHAR DEFAULT 'open' NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    sla_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE NOT NULL,
    groups TEXT[] NOT NULL,
    resource_type VARCHAR NOT NULL,
    resource_id VARCHAR NOT NULL,
    money_minor BIGINT,
    currency VARCHAR,
    risk BIGINT NOT NULL,
    PRIMARY KEY (tenant, request_id)
);

CREATE INDEX approval_requests_by_age ON approval_requests (tenant, opened_at, request_id) WHERE state = 'open';

CREATE INDEX approval_requests_by_risk ON approval_requests (tenant, risk, request_id) WHERE state = 'open';

CREATE INDEX approval_requests_by_sla ON approval_requests (tenant, sla_at, request_id) WHERE state = 'open';

CREATE INDEX approval_requests_ended ON approval_requests (tenant, ended_at, request_id);

CREATE INDEX approval_requests_ended_so ON approval_requests (tenant, state, ended_at, request_id);

CREATE UNIQUE INDEX approval_requests_visit ON approval_requests (tenant, run_id, step, call, visit);

CREATE TABLE approval_terms (
    tenant VARCHAR NOT NULL,
    request_id VARCHAR NOT NULL,
    term VARCHAR COLLATE "C" NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (tenant, request_id, term)
);

CREATE INDEX approval_terms_found ON approval_terms (tenant, term, ended_at desc, request_id);

CREATE TABLE argument_schemas (
    tenant VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    body VARCHAR NOT NULL,
    PRIMARY KEY (tenant, digest)
);

CREATE TABLE audit (
    tenant VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    seq INTEGER NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    kind VARCHAR NOT NULL,
    body VARCHAR NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (tenant, run_id, seq)
);

CREATE INDEX audit_by_kind ON audit (tenant, kind, at);

CREATE TABLE breakers (
    tenant VARCHAR NOT NULL,
    tool VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    failed_at TIMESTAMP WITH TIME ZONE[] NOT NULL,
    answered INTEGER DEFAULT '0' NOT NULL,
    opened INTEGER DEFAULT '0' NOT NULL,
    until TIMESTAMP WITH TIME ZONE,
    changed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (tenant, tool)
);

CREATE TABLE cached_reads (
    tenant VARCHAR NOT NULL,
    key VARCHAR NOT NULL,
    resource VARCHAR NOT NULL,
    output VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    stored_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (tenant, key)
);

CREATE INDEX cached_reads_by_resource ON cached_reads (tenant, resource);

CREATE INDEX cached_reads_expired ON cached_reads (tenant, expires_at);

CREATE TABLE call_revisions (
    tenant VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    step INTEGER NOT NULL,
    call INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    arguments VARCHAR NOT NULL,
    arguments_digest VARCHAR NOT NULL,
    request_id VARCHAR NOT NULL,
    decision_id VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    for_person VARCHAR DEFAULT '' NOT NULL,
    display_name VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    problem VARCHAR DEFAULT '' NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (tenant, run_id, step, call, revision)
);

CREATE INDEX call_revisions_arguments ON call_revisions (tenant, run_id, arguments_digest);

CREATE TABLE checks (
    tenant VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    step INTEGER NOT NULL,
    call INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    revision INTEGER DEFAULT '0' NOT NULL,
    state VARCHAR NOT NULL,
    fence INTEGER DEFAULT '1' NOT NULL,
    tokens_reserved BIGINT DEFAULT '0' NOT NULL,
    micros_reserved BIGINT DEFAULT '0' NOT NULL,
    tokens_lost BIGINT DEFAULT '0' NOT NULL,
    micros_lost BIGINT DEFAULT '0' NOT NULL,
    passed BOOLEAN,
    result VARCHAR,
    done_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (tenant, run_id, step, call, name, revision)
);

CREATE TABLE commands (
    tenant VARCHAR NOT NULL,
    command_id VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    display_name VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    jws VARCHAR NOT NULL,
    state VARCHAR DEFAULT 'pending' NOT NULL,
    refusal VARCHAR DEFAULT '' NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    last_error VARCHAR DEFAULT '' NOT NULL,
    issued_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    next_attempt_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (tenant, command_id)
);

CREATE INDEX commands_by_run ON commands (tenant, run_id, issued_at desc);

CREATE INDEX commands_waiting ON commands (next_attempt_at) WHERE state = 'pending';

CREATE TABLE counters (
    tenant VARCHAR NOT NULL,
    period VARCHAR NOT NULL,
    scope VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    tokens BIGINT DEFAULT '0' NOT NULL,
    micros BIGINT DEFAULT '0' NOT NULL,
    model_calls BIGINT DEFAULT '0' NOT NULL,
    tool_calls BIGINT DEFAULT '0' NOT NULL,
    retries BIGINT DEFAULT '0' NOT NULL,
    wall_s BIGINT DEFAULT '0' NOT NULL,
    money JSONB DEFAULT '{}'::jsonb NOT NULL,
    raised JSONB DEFAULT '{}'::jsonb NOT NULL,
    PRIMARY KEY (tenant, period, scope, subject)
)
 WITH (fillfactor = 50);

CREATE TABLE credential_keys (
    kid VARCHAR NOT NULL,
    public_jwk VARCHAR NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    not_before TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    retired_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (kid)
);

CREATE TABLE decoys (
    tenant VARCHAR NOT NULL,
    request_id VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    agent VARCHAR NOT NULL,
    tool VARCHAR NOT NULL,
    groups VARCHAR[] NOT NULL,
    fault VARCHAR NOT NULL,
    tell VARCHAR NOT NULL,
    made_from VARCHAR NOT NULL,
    planted_by VARCHAR NOT NULL,
    planted_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    result VARCHAR DEFAULT '' NOT NULL,
    person VARCHAR DEFAULT '' NOT NULL,
    verdict VARCHAR DEFAULT '' NOT NULL,
    reason VARCHAR DEFAULT '' NOT NULL,
    PRIMARY KEY (tenant, request_id)
);

CREATE UNIQUE INDEX decoys_by_run ON decoys (tenant, run_id);

CREATE INDEX decoys_newest ON decoys (tenant, planted_at desc);

CREATE TABLE definitions (
    tenant VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    agent VARCHAR NOT NULL,
    body VARCHAR NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (tenant, digest)
);

CREATE TABLE delegations (
    tenant VARCHAR NOT NULL,
    delegation_id VARCHAR NOT NULL,
    approver VARCHAR NOT NULL,
    delegate VARCHAR NOT NULL,
    from_at TIMESTAMP WITH TIME ZONE NOT NULL,
    until_at TIMESTAMP WITH TIME ZONE NOT NULL,
    reason VARCHAR NOT NULL,
    created_by VARCHAR NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    ended_by VARCHAR,
    PRIMARY KEY (tenant, delegation_id)
);

CREATE INDEX delegations_by_approver ON delegations (tenant, approver, until_at);

CREATE INDEX delegations_by_delegate ON delegations (tenant, delegate, until_at);

CREATE TABLE device_sign_ins (
    tenant VARCHAR NOT NULL,
    device_hash BYTEA NOT NULL,
    user_hash BYTEA NOT NULL,
    front_end VARCHAR NOT NULL,
    address VARCHAR NOT NULL,
    scopes TEXT[] NOT NULL,
    asked_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    interval_s INTEGER NOT NULL,
    polled_at TIMESTAMP WITH TIME ZONE,
    state VARCHAR DEFAULT 'waiting' NOT NULL,
    username VARCHAR DEFAULT '' NOT NULL,
    multi_factor BOOLEAN DEFAULT false NOT NULL,
    authenticated_at TIMESTAMP WITH TIME ZONE,
    session_ends_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (tenant, device_hash)
);

CREATE UNIQUE INDEX device_sign_ins_by_code ON device_sign_ins (tenant, user_hash);

CREATE TABLE effect_reviews (
    tenant VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    step INTEGER NOT NULL,
    call INTEGER NOT NULL,
    agent VARCHAR NOT NULL,
    agent_version INTEGER NOT NULL,
    tool VARCHAR NOT NULL,
    tier INTEGER NOT NULL,
    because VARCHAR NOT NULL,
    share FLOAT NOT NULL,
    drawn_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    label VARCHAR DEFAULT '' NOT NULL,
    note VARCHAR DEFAULT '' NOT NULL,
    expected VARCHAR DEFAULT '' NOT NULL,
    person VARCHAR DEFAULT '' NOT NULL,
    labelled_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (tenant, run_id, step, call)
);

CREATE INDEX effect_reviews_first ON effect_reviews (tenant, agent, agent_version) WHERE because = 'first';

CREATE INDEX effect_reviews_newest ON effect_reviews (tenant, labelled_at desc) WHERE label <> '';

CREATE INDEX effect_reviews_waiting ON effect_reviews (tenant, due_at) WHERE label = '';

CREATE TABLE effects (
    tenant VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    step INTEGER NOT NULL,
    call INTEGER NOT NULL,
    tool VARCHAR NOT NULL,
    tool_version INTEGER NOT NULL,
    service VARCHAR NOT NULL,
    arguments_digest VARCHAR NOT NULL,
    arguments VARCHAR NOT NULL,
    natural_key VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    fence INTEGER DEFAULT '1' NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    first_sent_at TIMESTAMP WITH TIME ZONE,
    credential_expires_at TIMESTAMP WITH TIME ZONE,
    amount_minor BIGINT,
    currency VARCHAR,
    money_period VARCHAR,
    request_id VARCHAR,
    output VARCHAR,
    error VARCHAR DEFAULT '' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    doubted_at TIMESTAMP WITH TIME ZONE,
    probes INTEGER DEFAULT '0' NOT NULL,
    probed_at TIMESTAMP WITH TIME ZONE,
    probe_said VARCHAR DEFAULT '' NOT NULL,
    next_probe_at TIMESTAMP WITH TIME ZONE,
    resolved_by VARCHAR DEFAULT '' NOT NULL,
    PRIMARY KEY (tenant, run_id, step, call)
);

CREATE INDEX effects_done_deed ON effects (tenant, tool, natural_key) WHERE state in ('succeeded', 'abandoned');

CREATE UNIQUE INDEX effects_open_deed ON effects (tenant, tool, natural_key) WHERE natural_key <> '' and state in ('prepared', 'in_flight', 'unknown');

CREATE INDEX effects_unknown ON effects (tenant, updated_at) WHERE state in ('in_flight', 'unknown');

CREATE TABLE emergencies (
    tenant VARCHAR NOT NULL,
    emergency_id VARCHAR NOT NULL,
    scope VARCHAR NOT NULL,
    agent VARCHAR NOT NULL,
    tools VARCHAR[] DEFAULT '{}' NOT NULL,
    lifts VARCHAR[] DEFAULT '{}' NOT NULL,
    approvers VARCHAR NOT NULL,
    minutes INTEGER NOT NULL,
    reason VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    requested_by VARCHAR NOT NULL,
    requested_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    approved_by VARCHAR[] DEFAULT '{}' NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE,
    expires_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    ended_by VARCHAR,
    reviewed_by VARCHAR,
    reviewed_at TIMESTAMP WITH TIME ZONE,
    review VARCHAR,
    PRIMARY KEY (tenant, emergency_id)
);

CREATE INDEX emergencies_open ON emergencies (tenant, agent) WHERE state = 'open';

CREATE UNIQUE INDEX emergencies_one ON emergencies (tenant, scope) WHERE state in ('requested', 'open');

CREATE TABLE inbox (
    tenant VARCHAR NOT NULL,
    endpoint VARCHAR NOT NULL,
    event_id VARCHAR NOT NULL,
    body_digest VARCHAR NOT NULL,
    event VARCHAR NOT NULL,
    agent VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    on_behalf_of VARCHAR,
    state VARCHAR DEFAULT 'received' NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    last_error VARCHAR DEFAULT '' NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    next_attempt_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (tenant, endpoint, event_id)
);

CREATE UNIQUE INDEX inbox_by_run ON inbox (tenant, run_id);

CREATE INDEX inbox_waiting ON inbox (next_attempt_at) WHERE state = 'received';

CREATE TABLE journal (
    tenant VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    step INTEGER NOT NULL,
    call INTEGER NOT NULL,
    visit INTEGER NOT NULL,
    state VARCHAR NOT NULL,
    fence INTEGER DEFAULT '1' NOT NULL,
    tokens_reserved BIGINT,
    micros_reserved BIGINT,
    tokens_lost BIGINT,
    micros_lost BIGINT,
    tool VARCHAR,
    control VARCHAR,
    message_seq INTEGER,
    decision_seq INTEGER,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    done_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (tenant, run_id, step, call, visit)
);

CREATE TABLE messages (
    tenant VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    seq INTEGER NOT NULL,
    step INTEGER NOT NULL,
    call INTEGER,
    tokens INTEGER NOT NULL,
    content VARCHAR NOT NULL,
    PRIMARY KEY (tenant, run_id, seq)
);

CREATE TABLE notices (
    tenant VARCHAR NOT NULL,
    request_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    escalated_to VARCHAR DEFAULT '' NOT NULL,
    channel VARCHAR NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (tenant, request_id, kind, escalated_to, channel)
);

CREATE TABLE packet_ratings (
    tenant VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    useful VARCHAR NOT NULL,
    minutes_saved INTEGER NOT NULL,
    note VARCHAR NOT NULL,
    rated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (tenant, run_id, person)
);

CREATE TABLE passkey_challenges (
    tenant VARCHAR NOT NULL,
    challenge BYTEA NOT NULL,
    holder BYTEA NOT NULL,
    purpose VARCHAR NOT NULL,
    statement VARCHAR NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (tenant, challenge)
);

CREATE TABLE passkey_events (
    tenant VARCHAR NOT NULL,
    event_id BIGINT GENERATED ALWAYS AS IDENTITY,
    username VARCHAR NOT NULL,
    passkey_id VARCHAR NOT NULL,
    verb VARCHAR NOT NULL,
    changed_by VARCHAR NOT NULL,
    detail VARCHAR NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (tenant, event_id)
);

CREATE INDEX passkey_events_of_account ON passkey_events (tenant, username, at);

CREATE TABLE passkeys (
    tenant VARCHAR NOT NULL,
    passkey_id VARCHAR NOT NULL,
    username VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    credential_id BYTEA NOT NULL,
    public_key BYTEA NOT NULL,
    rp_id VARCHAR NOT NULL,
    aaguid VARCHAR NOT NULL,
    synced BOOLEAN NOT NULL,
    sign_count BIGINT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE,
    removed_at TIMESTAMP WITH TIME ZONE,
    lost BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (tenant, passkey_id)
);

CREATE INDEX passkeys_by_account ON passkeys (tenant, username) WHERE removed_at is null;

CREATE UNIQUE INDEX passkeys_by_credential ON passkeys (tenant, credential_id);

CREATE TABLE pauses (
    tenant VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    agent VARCHAR NOT NULL,
    cause VARCHAR NOT NULL,
    tool VARCHAR NOT NULL,
    detail VARCHAR NOT NULL,
    command_id VARCHAR,
    person VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    paused_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    ended_by VARCHAR,
    PRIMARY KEY (tenant, run_id, number)
);

CREATE UNIQUE INDEX pauses_open ON pauses (tenant, run_id) WHERE ended_at is null;

CREATE TABLE rate_windows (
    tenant VARCHAR NOT NULL,
    tool VARCHAR NOT NULL,
    at_s BIGINT DEFAULT '0' NOT NULL,
    calls INTEGER[] NOT NULL,
    PRIMARY KEY (tenant, tool)
)
 WITH (fillfactor = 50);

CREATE TABLE request_views (
    tenant VARCHAR NOT NULL,
    request_id VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    first_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    views INTEGER DEFAULT '0' NOT NULL,
    attended_ms BIGINT DEFAULT '0' NOT NULL,
    decided_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (tenant, request_id, person)
);

CREATE INDEX request_views_by_run ON request_views (tenant, run_id);

CREATE TABLE review_marks (
    tenant VARCHAR NOT NULL,
    seed BYTEA NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT '-infinity' NOT NULL,
    run_id VARCHAR DEFAULT '' NOT NULL,
    seq INTEGER DEFAULT '0' NOT NULL,
    watched_at TIMESTAMP WITH TIME ZONE DEFAULT '-infinity' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (tenant)
);

CREATE TABLE revocations (
    tenant VARCHAR NOT NULL,
    scope VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    epoch BIGINT GENERATED ALWAYS AS IDENTITY,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    revoked_by VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    PRIMARY KEY (tenant, scope, target, epoch)
);

CREATE INDEX revocations_newest ON revocations (at);

CREATE TABLE run_reads (
    read_id BIGINT GENERATED ALWAYS AS IDENTITY,
    tenant VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    reader VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    via VARCHAR NOT NULL,
    what VARCHAR NOT NULL,
    PRIMARY KEY (read_id)
);

CREATE INDEX run_reads_newest ON run_reads (tenant, run_id, at desc);

CREATE TABLE run_state (
    tenant VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    version BIGINT DEFAULT '0' NOT NULL,
    audit_seq INTEGER DEFAULT '0' NOT NULL,
    audit_head BYTEA NOT NULL,
    message_seq INTEGER DEFAULT '0' NOT NULL,
    steps INTEGER DEFAULT '0' NOT NULL,
    model_calls INTEGER DEFAULT '0' NOT NULL,
    tool_calls INTEGER DEFAULT '0' NOT NULL,
    effects INTEGER DEFAULT '0' NOT NULL,
    tokens_used BIGINT DEFAULT '0' NOT NULL,
    tokens_reserved BIGINT DEFAULT '0' NOT NULL,
    micros_used BIGINT DEFAULT '0' NOT NULL,
    micros_reserved BIGINT DEFAULT '0' NOT NULL,
    admitted JSONB DEFAULT '{}'::jsonb NOT NULL,
    completed JSONB DEFAULT '{}'::jsonb NOT NULL,
    money_minor JSONB DEFAULT '{}'::jsonb NOT NULL,
    tainted BOOLEAN DEFAULT false NOT NULL,
    retries INTEGER DEFAULT '0' NOT NULL,
    malformed INTEGER DEFAULT '0' NOT NULL,
    tree VARCHAR,
    limit_changes JSONB,
    allot_day VARCHAR,
    allot_until TIMESTAMP WITH TIME ZONE,
    left_tokens BIGINT DEFAULT '0' NOT NULL,
    left_micros BIGINT DEFAULT '0' NOT NULL,
    left_model_calls INTEGER DEFAULT '0' NOT NULL,
    left_tool_calls INTEGER DEFAULT '0' NOT NULL,
    left_retries INTEGER DEFAULT '0' NOT NULL,
    left_wall_s INTEGER DEFAULT '0' NOT NULL,
    closed BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (tenant, run_id)
)
 WITH (fillfactor = 50);

CREATE TABLE runs (
    tenant VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    agent VARCHAR NOT NULL,
    agent_version INTEGER NOT NULL,
    definition VARCHAR NOT NULL,
    endpoint VARCHAR,
    event_id VARCHAR,
    parent_run_id VARCHAR,
    root_run_id VARCHAR NOT NULL,
    on_behalf_of VARCHAR,
    interested JSONB DEFAULT '[]'::jsonb NOT NULL,
    trusted_fields JSONB DEFAULT '[]'::jsonb NOT NULL,
    goal VARCHAR NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE,
    outcome VARCHAR,
    reason VARCHAR,
    detail VARCHAR DEFAULT '' NOT NULL,
    report VARCHAR,
    looked_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (tenant, run_id)
);

CREATE INDEX runs_by_event ON runs (tenant, endpoint, event_id);

CREATE INDEX runs_by_parent ON runs (tenant, parent_run_id) WHERE parent_run_id is not null;

CREATE INDEX runs_newest ON runs (tenant, opened_at desc, run_id);

CREATE INDEX runs_open ON runs (tenant, looked_at) WHERE closed_at is null;

CREATE TABLE seen_pages (
    tenant VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    body VARCHAR NOT NULL,
    kept_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (tenant, digest)
);

CREATE TABLE session_changes (
    tenant VARCHAR NOT NULL,
    change_id BIGINT GENERATED ALWAYS AS IDENTITY,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    verb VARCHAR NOT NULL,
    username VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    front_end VARCHAR NOT NULL,
    address VARCHAR NOT NULL,
    scopes TEXT[] NOT NULL,
    PRIMARY KEY (tenant, change_id)
);

CREATE TABLE sessions (
    tenant VARCHAR NOT NULL,
    token_hash BYTEA NOT NULL,
    username VARCHAR NOT NULL,
    csrf_hash BYTEA NOT NULL,
    multi_factor BOOLEAN DEFAULT false NOT NULL,
    authenticated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    front_end VARCHAR DEFAULT '' NOT NULL,
    address VARCHAR DEFAULT '' NOT NULL,
    browser VARCHAR DEFAULT '' NOT NULL,
    scopes TEXT[],
    PRIMARY KEY (tenant, token_hash)
);

CREATE TABLE standing_approvals (
    tenant VARCHAR NOT NULL,
    standing_id VARCHAR NOT NULL,
    agent VARCHAR NOT NULL,
    tool VARCHAR NOT NULL,
    terms VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    proposed_by VARCHAR NOT NULL,
    proposed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    decide_until TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    decided_at TIMESTAMP WITH TIME ZONE,
    revoked_by VARCHAR,
    revoked_at TIMESTAMP WITH TIME ZONE,
    revoke_reason VARCHAR DEFAULT '' NOT NULL,
    PRIMARY KEY (tenant, standing_id)
);

CREATE INDEX standing_approvals_granted ON standing_approvals (tenant, agent, tool) WHERE state = 'granted';

CREATE INDEX standing_approvals_newest ON standing_approvals (tenant, proposed_at);

CREATE TABLE standing_uses (
    tenant VARCHAR NOT NULL,
    standing_id VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    run_id VARCHAR NOT NULL,
    step INTEGER NOT NULL,
    call INTEGER NOT NULL,
    amount_minor BIGINT DEFAULT 0 NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (tenant, standing_id, number)
);

CREATE UNIQUE INDEX standing_uses_call ON standing_uses (tenant, run_id, step, call);

CREATE TABLE standing_votes (
    tenant VARCHAR NOT NULL,
    standing_id VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    display_name VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    jws VARCHAR NOT NULL,
    seen VARCHAR DEFAULT '' NOT NULL,
    cast_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (tenant, standing_id, person)
);

CREATE TABLE switch_receipts (
    tenant VARCHAR NOT NULL,
    switch_id BIGINT NOT NULL,
    run_id VARCHAR NOT NULL,
    step INTEGER NOT NULL,
    call INTEGER NOT NULL,
    visit INTEGER NOT NULL,
    agent VARCHAR NOT NULL,
    tool VARCHAR,
    kind VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    attempts INTEGER NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (tenant, switch_id, run_id, step, call)
);

CREATE INDEX switch_receipts_by_run ON switch_receipts (tenant, run_id);

CREATE TABLE switches (
    switch_id BIGINT GENERATED ALWAYS AS IDENTITY,
    tenant VARCHAR NOT NULL,
    scope VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    set_by VARCHAR NOT NULL,
    set_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    epoch BIGINT,
    released_by VARCHAR,
    released_at TIMESTAMP WITH TIME ZONE,
    released_reason VARCHAR,
    PRIMARY KEY (switch_id)
);

CREATE UNIQUE INDEX switches_on ON switches (tenant, scope, target) WHERE released_at is null;

CREATE TABLE undo_orders (
    tenant VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    of_run VARCHAR NOT NULL,
    of_step INTEGER,
    agent VARCHAR NOT NULL,
    username VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    plan VARCHAR NOT NULL,
    plan_digest VARCHAR NOT NULL,
    ordered_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (tenant, run_id)
);

CREATE INDEX undo_orders_by_run ON undo_orders (tenant, of_run, ordered_at);

CREATE INDEX undo_orders_waiting ON undo_orders (tenant, ordered_at) WHERE started_at is null;

CREATE TABLE vote_assertions (
    tenant VARCHAR NOT NULL,
    request_id VARCHAR NOT NULL,
    decision_id VARCHAR NOT NULL,
    body VARCHAR NOT NULL,
    jws VARCHAR NOT NULL,
    kept_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (tenant, request_id, decision_id)
);

CREATE TABLE vote_keys (
    kid VARCHAR NOT NULL,
    public_jwk VARCHAR NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    retired_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (kid)
);

CREATE TABLE votes (
    tenant VARCHAR NOT NULL,
    decision_id VARCHAR NOT NULL,
    request_id VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    display_name VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    edited VARCHAR,
    delegation_id VARCHAR DEFAULT '' NOT NULL,
    for_person VARCHAR DEFAULT '' NOT NULL,
    for_name VARCHAR DEFAULT '' NOT NULL,
    seen VARCHAR DEFAULT '' NOT NULL,
    jws VARCHAR NOT NULL,
    state VARCHAR DEFAULT 'pending' NOT NULL,
    refusal VARCHAR DEFAULT '' NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    last_error VARCHAR DEFAULT '' NOT NULL,
    cast_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    next_attempt_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (tenant, decision_id)
);

CREATE INDEX votes_by_person ON votes (tenant, person, cast_at, decision_id) INCLUDE (request_id, state);

CREATE INDEX votes_by_person_so ON votes (tenant, person, verdict, cast_at, decision_id);

CREATE INDEX votes_by_represented ON votes (tenant, for_person, cast_at) INCLUDE (request_id, state) WHERE for_person <> '';

CREATE INDEX votes_by_request ON votes (tenant, request_id, cast_at);

CREATE INDEX votes_newest ON votes (tenant, cast_at, decision_id);

CREATE INDEX votes_newest_so ON votes (tenant, verdict, cast_at, decision_id);

CREATE UNIQUE INDEX votes_one_a_person ON votes (tenant, request_id, person) WHERE state <> 'refused';

CREATE INDEX votes_waiting ON votes (next_attempt_at) WHERE state = 'pending';
