"""Standing approvals: what was proposed, who decided, and each use."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, Index, text
from sqlmodel import Field

from store.tables.base import Table

__all__ = ["StandingRow", "StandingUseRow", "StandingVoteRow"]


def _at(*, nullable: bool = False, default: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable, server_default=text("now()") if default else None)


class StandingRow(Table, table=True):
    """One standing approval. Its columns serve lists: what it holds for are its terms, and votes are over their digest.

    State: `proposed`, `granted`, `denied` or `revoked`. That its time is over is told by `until`.
    """

    __tablename__ = "standing_approvals"
    __table_args__ = (
        Index("standing_approvals_granted", "tenant", "agent", "tool", postgresql_where=text("state = 'granted'")),
        Index("standing_approvals_newest", "tenant", "proposed_at"),
    )
    tenant: str = Field(primary_key=True)
    standing_id: str = Field(primary_key=True)
    agent: str
    tool: str
    terms: str
    """`StandingTerms` as canonical JSON."""
    digest: str
    state: str
    proposed_by: str
    """Person; so are those below."""
    proposed_at: datetime = Field(sa_column=_at(default=True))
    decide_until: datetime = Field(sa_column=_at())
    until: datetime = Field(sa_column=_at())
    decided_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    revoked_by: str | None = None
    revoked_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    revoke_reason: str = Field(default="", sa_column_kwargs={"server_default": ""})


class StandingUseRow(Table, table=True):
    """One call that was admitted under it. It stays counted, whatever became of the call."""

    __tablename__ = "standing_uses"
    __table_args__ = (Index("standing_uses_call", "tenant", "run_id", "step", "call", unique=True),)
    tenant: str = Field(primary_key=True)
    standing_id: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    """Counted from 1."""
    run_id: str
    step: int
    call: int
    amount_minor: int = Field(sa_column=Column(BigInteger(), nullable=False, server_default=text("0")))
    used_at: datetime = Field(sa_column=_at(default=True))


class StandingVoteRow(Table, table=True):
    """One person's decision about it."""

    __tablename__ = "standing_votes"
    tenant: str = Field(primary_key=True)
    standing_id: str = Field(primary_key=True)
    person: str = Field(primary_key=True)
    display_name: str
    verdict: str
    reason: str
    jws: str
    """The signed vote: only what verifies counts."""
    seen: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    """Digest of the page on which they decided; empty: on none of ours."""
    cast_at: datetime = Field(sa_column=_at(default=True))
