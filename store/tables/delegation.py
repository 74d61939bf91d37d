"""Delegations: who may decide for whom, and until when."""

from datetime import datetime

from sqlalchemy import Column, DateTime, Index, text
from sqlmodel import Field

from store.tables.base import Table

__all__ = ["DelegationRow"]


def _at(*, nullable: bool = False, default: str | None = None) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable, server_default=text(default) if default else None)


class DelegationRow(Table, table=True):
    """One delegation. Only its end is ever written later."""

    __tablename__ = "delegations"
    __table_args__ = (
        Index("delegations_by_approver", "tenant", "approver", "until_at"),
        Index("delegations_by_delegate", "tenant", "delegate", "until_at"),
    )
    tenant: str = Field(primary_key=True)
    delegation_id: str = Field(primary_key=True)
    approver: str
    """Account of who is away."""
    delegate: str
    """Account of who decides meanwhile."""
    from_at: datetime = Field(sa_column=_at())
    until_at: datetime = Field(sa_column=_at())
    reason: str
    created_by: str
    """Person; so is `ended_by`."""
    created_at: datetime = Field(sa_column=_at(default="now()"))
    ended_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    """Set when somebody ended it before its time."""
    ended_by: str | None = None
