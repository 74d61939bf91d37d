"""Orders to undo a run."""

from datetime import datetime

from sqlalchemy import Column, DateTime, Index, text
from sqlmodel import Field

from store.tables.base import Table

__all__ = ["UndoOrderRow"]


class UndoOrderRow(Table, table=True):
    """Somebody ordered that a run be undone: what vouches for the undo run, as an accepted event does for another."""

    __tablename__ = "undo_orders"
    __table_args__ = (
        Index("undo_orders_by_run", "tenant", "of_run", "ordered_at"),
        Index("undo_orders_waiting", "tenant", "ordered_at", postgresql_where=text("started_at is null")),
    )
    tenant: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    """The undo run."""
    of_run: str
    """The run that is undone."""
    of_step: int | None = None
    """Its one step that is undone; None: all of it."""
    agent: str
    """The undo identity under which it acts."""
    username: str
    """Who ordered it, and on whose behalf it acts."""
    person: str
    reason: str
    plan: str
    """`UndoPlan` as canonical JSON: what the operator was shown. Content."""
    plan_digest: str
    ordered_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )
    started_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
    """When Temporal took the undo run."""
