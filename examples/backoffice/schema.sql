-- Everything is by tenant: each key starts with it, so that no query can forget it and still find something.
CREATE TABLE IF NOT EXISTS tenants (
    tenant TEXT PRIMARY KEY
) STRICT;

CREATE TABLE IF NOT EXISTS customers (
    tenant TEXT NOT NULL REFERENCES tenants,
    customer_id TEXT NOT NULL,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    iban TEXT NOT NULL,
    country TEXT NOT NULL,
    since TEXT NOT NULL,
    PRIMARY KEY (tenant, customer_id)
) STRICT;

CREATE TABLE IF NOT EXISTS orders (
    tenant TEXT NOT NULL,
    order_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('paid', 'shipped', 'delivered', 'cancelled')),
    currency TEXT NOT NULL,
    items TEXT NOT NULL,
    placed_at TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant, order_id),
    FOREIGN KEY (tenant, customer_id) REFERENCES customers
) STRICT;
CREATE INDEX IF NOT EXISTS orders_by_customer ON orders (tenant, customer_id);

-- The CHECK on refunded_minor is the last wall: no code path can give back more than arrived.
CREATE TABLE IF NOT EXISTS payments (
    tenant TEXT NOT NULL,
    order_id TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    method TEXT NOT NULL CHECK (method IN ('sepa_debit', 'card')),
    account TEXT NOT NULL,
    captured_minor INTEGER NOT NULL CHECK (captured_minor >= 0),
    refunded_minor INTEGER NOT NULL DEFAULT 0 CHECK (refunded_minor BETWEEN 0 AND captured_minor),
    PRIMARY KEY (tenant, order_id),
    UNIQUE (tenant, payment_id),
    FOREIGN KEY (tenant, order_id) REFERENCES orders
) STRICT;

CREATE TABLE IF NOT EXISTS tickets (
    tenant TEXT NOT NULL,
    ticket_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    order_id TEXT,
    subject TEXT NOT NULL,
    text TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'pending', 'solved')),
    created_at TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant, ticket_id),
    FOREIGN KEY (tenant, customer_id) REFERENCES customers,
    FOREIGN KEY (tenant, order_id) REFERENCES orders
) STRICT;
CREATE INDEX IF NOT EXISTS tickets_by_customer ON tickets (tenant, customer_id);

CREATE TABLE IF NOT EXISTS refunds (
    tenant TEXT NOT NULL,
    refund_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    reason_code TEXT NOT NULL,
    ticket_id TEXT,
    status TEXT NOT NULL CHECK (status IN ('succeeded', 'reversed')),
    created_at TEXT NOT NULL,
    reversed_at TEXT,
    reversal_reason TEXT,
    effect_key TEXT NOT NULL,
    run TEXT NOT NULL,
    order_version INTEGER NOT NULL,
    PRIMARY KEY (tenant, refund_id),
    FOREIGN KEY (tenant, order_id) REFERENCES orders,
    FOREIGN KEY (tenant, ticket_id) REFERENCES tickets
) STRICT;
CREATE INDEX IF NOT EXISTS refunds_by_order ON refunds (tenant, order_id);

CREATE TABLE IF NOT EXISTS replies (
    tenant TEXT NOT NULL,
    draft_id TEXT NOT NULL,
    ticket_id TEXT NOT NULL,
    text TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('draft', 'sent', 'discarded')),
    created_at TEXT NOT NULL,
    sent_at TEXT,
    effect_key TEXT NOT NULL,
    run TEXT NOT NULL,
    ticket_version INTEGER NOT NULL,
    PRIMARY KEY (tenant, draft_id),
    FOREIGN KEY (tenant, ticket_id) REFERENCES tickets
) STRICT;
CREATE INDEX IF NOT EXISTS replies_by_ticket ON replies (tenant, ticket_id);

-- Written in the transaction of the effect: either both are there or neither.
CREATE TABLE IF NOT EXISTS idempotency_keys (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    operation TEXT NOT NULL,
    arguments_sha256 TEXT NOT NULL,
    status_code INTEGER NOT NULL,
    response TEXT NOT NULL,
    created_at TEXT NOT NULL,
    created_unix_s REAL NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT;
CREATE INDEX IF NOT EXISTS idempotency_keys_by_age ON idempotency_keys (created_unix_s);

CREATE TABLE IF NOT EXISTS used_jtis (
    jti TEXT PRIMARY KEY,
    expires_unix_s REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS used_jtis_by_expiry ON used_jtis (expires_unix_s);

-- An empty string stands for "any", so that the primary key can hold it.
CREATE TABLE IF NOT EXISTS revocations (
    tenant TEXT NOT NULL,
    agent TEXT NOT NULL,
    run TEXT NOT NULL,
    minimum_epoch INTEGER NOT NULL,
    PRIMARY KEY (tenant, agent, run)
) STRICT;

-- What the issuer says itself: scopes by hash, each with the lowest epoch that is still accepted.
CREATE TABLE IF NOT EXISTS epochs (
    name TEXT PRIMARY KEY,
    minimum_epoch INTEGER NOT NULL,
    learned_unix_s REAL NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS faults (
    fault_id INTEGER PRIMARY KEY AUTOINCREMENT,
    method TEXT NOT NULL,
    path_regex TEXT NOT NULL,
    mode TEXT NOT NULL,
    tenant TEXT,
    times INTEGER NOT NULL,
    remaining INTEGER NOT NULL CHECK (remaining >= 0),
    seconds REAL,
    retry_after_s INTEGER
) STRICT;

CREATE TABLE IF NOT EXISTS access_log (
    entry_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    at TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('applied', 'refused', 'replayed')),
    subject TEXT NOT NULL,
    actor TEXT,
    run TEXT NOT NULL,
    jti TEXT NOT NULL,
    operation TEXT NOT NULL,
    effect_key TEXT NOT NULL,
    status_code INTEGER NOT NULL,
    resource_id TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS access_log_by_tenant ON access_log (tenant, entry_id);
