"""Who may do what: agent states, local accounts, sessions, tokens of machines, vote keys."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, Index, LargeBinary, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlmodel import Field

from store.tables.base import Table

__all__ = ["Account", "AgentState", "ApiToken", "ApiTokenChange", "Session", "VoteKey"]


def _at(*, nullable: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable, server_default=None if nullable else text("now()"))


class AgentState(Table, table=True):
    """An agent as principal of a tenant. Without a row it is off."""

    __tablename__ = "agent_states"
    tenant: str = Field(primary_key=True)
    agent: str = Field(primary_key=True)
    enabled: bool
    stage: str
    tier_ceiling: int
    """Highest tier that it may ever call."""
    version: int = Field(default=1, sa_column=Column(BigInteger, nullable=False, server_default="1"))
    """Rises with every change."""
    changed_by: str
    changed_at: datetime = Field(sa_column=_at())


class Account(Table, table=True):
    """A local account: the embedded default for signing in."""

    __tablename__ = "accounts"
    tenant: str = Field(primary_key=True)
    username: str = Field(primary_key=True)
    person: str
    """The human being; accounts of one person share it."""
    display_name: str
    issuer: str = Field(default="local", sa_column_kwargs={"server_default": text("'local'")})
    """Who vouches for it: `local`, or an OpenID provider."""
    password_hash: str
    """argon2id; of a local account only."""
    groups: list[str] = Field(sa_column=Column(ARRAY(TEXT), nullable=False))
    """Groups that policies name."""
    roles: list[str] = Field(sa_column=Column(ARRAY(TEXT), nullable=False))
    """Operator roles: view, approve, kill, undo, administer."""
    disabled: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    failed_logins: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    locked_until: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    code_tries: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Codes of programs that were typed since `code_tries_since`, right ones too."""
    code_tries_since: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    created_at: datetime = Field(sa_column=_at())


class Session(Table, table=True):
    """A browser or CLI session. Only the hash of its token is kept."""

    __tablename__ = "sessions"
    tenant: str = Field(primary_key=True)
    token_hash: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    username: str
    csrf_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    multi_factor: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    """Whether more than a password was shown."""
    authenticated_at: datetime = Field(sa_column=_at())
    last_seen_at: datetime = Field(sa_column=_at())
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    started_at: datetime = Field(sa_column=_at())
    front_end: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    """What a program that is no browser calls itself; its token opens no page."""
    address: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    """Network address from which it was begun."""
    browser: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    """What a browser says that it is, in words of ours; the header itself is not kept."""
    scopes: list[str] | None = Field(default=None, sa_column=Column(ARRAY(TEXT), nullable=True))
    """Roles that it may use of its account's; null: all."""


class ApiToken(Table, table=True):
    """A machine's token. Only its hash is kept; only last use and revocation can change."""

    __tablename__ = "api_tokens"
    __table_args__ = (Index("api_tokens_by_hash", "tenant", "token_hash", unique=True),)
    tenant: str = Field(primary_key=True)
    token_id: str = Field(primary_key=True)
    name: str
    """What it is for."""
    token_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    scopes: list[str] = Field(sa_column=Column(ARRAY(TEXT), nullable=False))
    created_by: str
    created_at: datetime = Field(sa_column=_at())
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    last_used_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    """Noted every few minutes, not at every use."""
    revoked_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    revoked_by: str | None


class ApiTokenChange(Table, table=True):
    """Who made or revoked a machine's token, and why. Append-only."""

    __tablename__ = "api_token_changes"
    tenant: str = Field(primary_key=True)
    token_id: str = Field(primary_key=True)
    verb: str = Field(primary_key=True)
    """`create` or `revoke`."""
    at: datetime = Field(sa_column=_at())
    changed_by: str
    person: str
    reason: str
    scopes: list[str] = Field(sa_column=Column(ARRAY(TEXT), nullable=False))
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class VoteKey(Table, table=True):
    """A public key of the approvals service. No tenant: it is the installation's."""

    __tablename__ = "vote_keys"
    kid: str = Field(primary_key=True)
    public_jwk: str
    """Canonical JSON."""
    created_at: datetime = Field(sa_column=_at())
    retired_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
