"""News of revoked credentials from their issuer: a signed statement, pushed to us or fetched.

The statement names scopes by hash, so that we learn of the scopes of our own calls and of no others.
"""

import hashlib
import logging
import sqlite3
import threading
import time
import urllib.request
from http.client import HTTPException
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from examples.backoffice.database import Database
from examples.backoffice.errors import ApiError, unauthorized
from examples.backoffice.keys import KeyRing
from examples.backoffice.settings import CLOCK_LEEWAY_S, TOKEN_MAX_LIFETIME_S
from examples.backoffice.tokens import Token, UnixTime, claims_of, open_signed

STATEMENT_TYPE = "countersign-epochs+jwt"
STATEMENT_MAX_BYTES = 1024 * 1024
KEEP_S = 4 * TOKEN_MAX_LIFETIME_S
"""How long a rule is kept: nothing that was issued before it can still be valid then."""
FETCH_TIMEOUT_S = 2.0

logger = logging.getLogger(__name__)


class Statement(BaseModel):
    """The claims of a statement."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, use_attribute_docstrings=True)

    iss: str
    """Issuer of the tokens."""
    iat: UnixTime
    """When it was true, Unix seconds."""
    exp: UnixTime
    """When it is no news any more, Unix seconds."""
    epochs: Annotated[
        dict[Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")], Annotated[int, Field(ge=0, le=2**53)]],
        Field(max_length=10_000),
    ]
    """Lowest epoch that is still accepted, by hash of the scope."""


def scope_name(scope: str, tenant: str, target: str) -> str:
    """How the issuer names a scope in its statement."""
    return hashlib.sha256(f"{scope}\n{tenant}\n{target}".encode()).hexdigest()


def names_of(token: Token) -> list[str]:
    """Every scope under which a token falls."""
    agent = token.agent.partition("/")[2]
    scopes = [("tenant", "*", "*"), ("tenant", token.tenant, "*"), ("run", token.tenant, token.txn)]
    scopes += [(scope, tenant, target) for tenant in ("*", token.tenant) for scope, target in
               (("agent", agent), ("tool", token.call.tool))]  # fmt: skip
    return [scope_name(*scope) for scope in scopes]


def check_epoch(connection: sqlite3.Connection, token: Token) -> None:
    """Refuse a token that its issuer has revoked, as far as we know. Raises ApiError 401."""
    names = names_of(token)
    marks = ", ".join("?" for _ in names)
    row = connection.execute(
        f"SELECT max(minimum_epoch) FROM epochs WHERE name IN ({marks})",  # noqa: S608 - question marks alone
        names,
    ).fetchone()
    if row[0] is not None and token.epoch < row[0]:
        raise unauthorized("token_revoked", f"The issuer revoked tokens of this kind before epoch {row[0]}.")


class Feed:
    """Keeps what is known up to date. Safe to use from several threads."""

    def __init__(self, database: Database, keys: KeyRing, *, issuer: str, source: str | None) -> None:
        """Remember where the issuer publishes its statement; None: it is pushed to us."""
        self._database = database
        self._keys = keys
        self._issuer = issuer
        self._source = source
        self._fetching = threading.Lock()
        self._true_at_unix_s = 0.0

    def learn(self, text: str, now_unix_s: float) -> None:
        """Take a statement, wherever it comes from: only its signature counts. Raises ApiError 401."""
        signed = open_signed(text, self._keys)
        if signed.headers().get("typ") != STATEMENT_TYPE:
            raise unauthorized("statement_type_invalid", f"The statement's typ must be '{STATEMENT_TYPE}'.")
        try:
            statement = Statement.model_validate(claims_of(signed))
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            raise unauthorized("statement_invalid", f"Claim {where} is missing or malformed.") from None
        if statement.iss != self._issuer:
            raise unauthorized("statement_issuer_invalid", f"The statement's issuer must be '{self._issuer}'.")
        if statement.iat > now_unix_s + CLOCK_LEEWAY_S or statement.exp + CLOCK_LEEWAY_S < now_unix_s:
            raise unauthorized("statement_not_current", "The statement is not of now; compare the clocks.")
        with self._database.write() as connection:
            _store(connection, statement, now_unix_s)
        self._true_at_unix_s = max(self._true_at_unix_s, float(statement.iat))

    def be_current(self, *, age_max_s: float, stale_s: float) -> None:
        """Fetch the statement when ours is older than `age_max_s`. Raises ApiError 503: it is older than `stale_s`.

        Nobody waits for somebody else's fetch while ours is fresh enough to go on with.
        """
        if self._source is None:
            return
        age_s = time.time() - self._true_at_unix_s
        if age_s <= age_max_s or not self._fetching.acquire(blocking=age_s > stale_s):
            return
        try:
            if time.time() - self._true_at_unix_s > age_max_s:
                self._fetch(self._source)
        finally:
            self._fetching.release()
        if time.time() - self._true_at_unix_s > stale_s:
            raise ApiError(503, "unavailable", "It cannot be learned which tokens are revoked; nothing was done.")

    def _fetch(self, source: str) -> None:
        try:
            with urllib.request.urlopen(source, timeout=FETCH_TIMEOUT_S) as answer:  # noqa: S310 - configured, http(s)
                self.learn(bytes(answer.read(STATEMENT_MAX_BYTES)).decode("ascii"), time.time())
        except (OSError, HTTPException, ValueError, ApiError) as error:
            logger.warning("Cannot learn revoked tokens from %s: %s", source, error)


def _store(connection: sqlite3.Connection, statement: Statement, now_unix_s: float) -> None:
    connection.execute("DELETE FROM epochs WHERE learned_unix_s < ?", (now_unix_s - KEEP_S,))
    connection.executemany(
        """
        INSERT INTO epochs VALUES (?, ?, ?)
        ON CONFLICT DO UPDATE SET learned_unix_s = excluded.learned_unix_s,
            minimum_epoch = max(minimum_epoch, excluded.minimum_epoch)
        """,
        [(name, epoch, now_unix_s) for name, epoch in statement.epochs.items()],
    )
