"""What is written beside every effect: spent tokens, remembered keys, and who did what."""

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from examples.backoffice.epochs import check_epoch
from examples.backoffice.errors import ApiError, unauthorized
from examples.backoffice.settings import CLOCK_LEEWAY_S, IDEMPOTENCY_KEY_WINDOW_S
from examples.backoffice.tokens import Token, check_not_expired

KEEP_KEYS_S = IDEMPOTENCY_KEY_WINDOW_S + 24 * 3600
"""A day longer than promised, so that no caller loses a key to a clock."""


@dataclass(frozen=True, slots=True)
class Write:
    """One authorised write on its way through the transaction."""

    token: Token
    operation: str
    effect_key: str
    arguments_sha256: str
    now_unix_s: float

    @property
    def tenant(self) -> str:
        """Tenant of every row that the write touches."""
        return self.token.tenant

    @property
    def at(self) -> str:
        """Time of the write as it is stored."""
        return rfc3339(self.now_unix_s)


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What a key was answered with."""

    operation: str
    arguments_sha256: str
    status_code: int
    response: str
    created_at: str


def rfc3339(unix_s: float) -> str:
    """Format a time with milliseconds in UTC."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def check_standing(connection: sqlite3.Connection, token: Token, now_unix_s: float) -> None:
    """Check what can change while a request waits: tenant, revocation, expiry. Raises ApiError 401 or 403."""
    check_not_expired(token, now_unix_s)
    if connection.execute("SELECT 1 FROM tenants WHERE tenant = ?", (token.tenant,)).fetchone() is None:
        raise ApiError(403, "tenant_unknown", "The token's tenant is not served here.")
    row = connection.execute(
        """
        SELECT max(minimum_epoch) FROM revocations
        WHERE tenant IN ('', :tenant) AND agent IN ('', :agent) AND run IN ('', :run)
        """,
        {"tenant": token.tenant, "agent": token.agent, "run": token.txn},
    ).fetchone()
    if row[0] is not None and token.epoch < row[0]:
        raise unauthorized("token_revoked", f"Tokens before epoch {row[0]} were revoked.")
    check_epoch(connection, token)


def spend_token(connection: sqlite3.Connection, write: Write) -> None:
    """Use up the token's id. Raises ApiError 401 when it was used before."""
    connection.execute("DELETE FROM used_jtis WHERE expires_unix_s < ?", (write.now_unix_s,))
    dead_at_unix_s = write.token.exp + CLOCK_LEEWAY_S + 1
    spent = connection.execute(
        "INSERT INTO used_jtis VALUES (?, ?) ON CONFLICT DO NOTHING", (write.token.jti, dead_at_unix_s)
    )
    if spent.rowcount == 0:
        raise unauthorized("token_replayed", "The token was used before; have a new one issued for each attempt.")


def find_answer(connection: sqlite3.Connection, tenant: str, key: str) -> StoredAnswer | None:
    """Return what became of a key, if it was ever seen."""
    row = connection.execute(
        """
        SELECT operation, arguments_sha256, status_code, response, created_at
        FROM idempotency_keys WHERE tenant = ? AND key = ?
        """,
        (tenant, key),
    ).fetchone()
    return None if row is None else StoredAnswer(*row)


def store_answer(connection: sqlite3.Connection, write: Write, status_code: int, response: str) -> None:
    """Remember the answer under the key. The unique key makes a second effect under it impossible."""
    connection.execute("DELETE FROM idempotency_keys WHERE created_unix_s < ?", (write.now_unix_s - KEEP_KEYS_S,))
    connection.execute(
        "INSERT INTO idempotency_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            write.tenant,
            write.effect_key,
            write.operation,
            write.arguments_sha256,
            status_code,
            response,
            write.at,
            write.now_unix_s,
        ),
    )


def log_write(
    connection: sqlite3.Connection,
    write: Write,
    verdict: Literal["applied", "refused", "replayed"],
    status_code: int,
    resource_id: str | None,
) -> None:
    """Note who asked for what and what came of it."""
    token = write.token
    connection.execute(
        """
        INSERT INTO access_log
            (tenant, at, verdict, subject, actor, run, jti, operation, effect_key, status_code, resource_id)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            token.tenant,
            write.at,
            verdict,
            token.sub,
            None if token.act is None else token.act.sub,
            token.txn,
            token.jti,
            write.operation,
            write.effect_key,
            status_code,
            resource_id,
        ),
    )
