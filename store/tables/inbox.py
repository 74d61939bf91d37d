"""Events as accepted, and alarms."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from store.tables.base import Table

__all__ = ["Alarm", "InboxRow"]


class InboxRow(Table, table=True):
    """One accepted event. Kept longer than any redelivery and than Temporal's retention."""

    __tablename__ = "inbox"
    __table_args__ = (
        Index("inbox_waiting", "next_attempt_at", postgresql_where=text("state = 'received'")),
        Index("inbox_by_run", "tenant", "run_id", unique=True),
    )
    tenant: str = Field(primary_key=True)
    endpoint: str = Field(primary_key=True)
    event_id: str = Field(primary_key=True)
    body_digest: str
    """Digest of the event, `AcceptedEvent.body_digest`: equal in every delivery of it."""
    event: str
    """The `AcceptedEvent` as canonical JSON text. Content."""
    agent: str
    """The agent that the endpoint's configuration chose."""
    run_id: str
    on_behalf_of: str | None = None
    state: str = Field(default="received", sa_column_kwargs={"server_default": "received"})
    """`received`, `started` or `quarantined`."""
    attempts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    last_error: str = Field(default="", sa_column_kwargs={"server_default": ""})
    received_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )
    next_attempt_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )
    started_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))


class Alarm(Table, table=True):
    """Something that a person should look at."""

    __tablename__ = "alarms"
    __table_args__ = (Index("alarms_newest", "tenant", text("at desc")),)
    alarm_id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    tenant: str
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()")))
    kind: str
    """Such as `event_conflict`."""
    subject: str
    """What it is about: an endpoint and event id, a run, a tool."""
    detail: dict[str, object] = Field(sa_column=Column(JSONB, nullable=False, server_default=text("'{}'::jsonb")))
