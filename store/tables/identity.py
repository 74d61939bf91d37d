"""Identity of agents: changes of their states, the keys of their credentials, and which credentials were revoked."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, text
from sqlmodel import Field

from store.tables.base import Table

__all__ = ["AgentChange", "CredentialKey", "Revocation"]


def _now(*, nullable: bool = False, default: bool = True) -> Column[datetime]:
    filled = text("now()") if default and not nullable else None
    return Column(DateTime(timezone=True), nullable=nullable, server_default=filled)


class AgentChange(Table, table=True):
    """Who changed an agent's state, why, and from what to what. Append-only."""

    __tablename__ = "agent_changes"
    tenant: str = Field(primary_key=True)
    agent: str = Field(primary_key=True)
    version: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    """Version of the state that this change made."""
    at: datetime = Field(sa_column=_now())
    verb: str
    """`enable`, `disable`, `stage` or `ceiling`."""
    changed_by: str
    role: str
    """Operator role under which it was done."""
    reason: str
    before: str
    """JSON text of enabled, stage and tier ceiling."""
    after: str


class CredentialKey(Table, table=True):
    """A public key with which services verify credentials. No tenant: it is the installation's."""

    __tablename__ = "credential_keys"
    kid: str = Field(primary_key=True)
    public_jwk: str
    """JSON."""
    created_at: datetime = Field(sa_column=_now())
    not_before: datetime = Field(sa_column=_now(default=False))
    """From when it signs."""
    expires_at: datetime | None = Field(default=None, sa_column=_now(nullable=True))
    """When it is withdrawn: nothing that it signed is valid any more."""
    retired_at: datetime | None = Field(default=None, sa_column=_now(nullable=True))
    """When it was withdrawn by hand."""


class Revocation(Table, table=True):
    """A revocation epoch: credentials of this scope with a lower one are refused. Append-only; the highest counts."""

    __tablename__ = "revocations"
    __table_args__ = (Index("revocations_newest", "at"),)
    tenant: str = Field(primary_key=True)
    """`*` holds for all."""
    scope: str = Field(primary_key=True)
    """`tenant`, `agent`, `tool` or `run`."""
    target: str = Field(primary_key=True)
    """Agent, tool or run; `*` for a tenant."""
    epoch: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    """Numbers rise in the order of commits, over all tenants."""
    at: datetime = Field(sa_column=_now())
    revoked_by: str
    reason: str
