"""Emergencies: who asked, who opened them, what they lifted, and who looked at it afterwards."""

from datetime import datetime

from sqlalchemy import Column, DateTime, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, VARCHAR
from sqlmodel import Field

from store.tables.base import Table

__all__ = ["EmergencyRow"]


def _texts() -> Column[list[str]]:
    return Column(ARRAY(VARCHAR), nullable=False, server_default=text("'{}'"))


def _at(*, nullable: bool = True) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable, server_default=None if nullable else text("now()"))


class EmergencyRow(Table, table=True):
    """One emergency. Its scope is kept as it was when it was asked for."""

    __tablename__ = "emergencies"
    __table_args__ = (
        Index("emergencies_open", "tenant", "agent", postgresql_where=text("state = 'open'")),
        Index(
            "emergencies_one",
            "tenant",
            "scope",
            unique=True,
            postgresql_where=text("state in ('requested', 'open')"),
        ),
    )
    tenant: str = Field(primary_key=True)
    emergency_id: str = Field(primary_key=True)
    scope: str
    agent: str
    tools: list[str] = Field(sa_column=_texts())
    lifts: list[str] = Field(sa_column=_texts())
    approvers: str
    """Group."""
    minutes: int
    reason: str
    state: str
    """`requested`, `open`, `lapsed` (never opened), `ended` or `reviewed`."""
    requested_by: str
    """Person; so are those below."""
    requested_at: datetime = Field(sa_column=_at(nullable=False))
    approved_by: list[str] = Field(sa_column=_texts())
    opened_at: datetime | None = Field(default=None, sa_column=_at())
    expires_at: datetime | None = Field(default=None, sa_column=_at())
    ended_at: datetime | None = Field(default=None, sa_column=_at())
    ended_by: str | None = None
    """Person; none: its time was over."""
    reviewed_by: str | None = None
    reviewed_at: datetime | None = Field(default=None, sa_column=_at())
    review: str | None = None
