"""Notices that were sent."""

from datetime import datetime

from sqlalchemy import Column, DateTime, text
from sqlmodel import Field

from store.tables.base import Table

__all__ = ["NoticeRow"]


class NoticeRow(Table, table=True):
    """A channel took a notice about an approval request."""

    __tablename__ = "notices"
    tenant: str = Field(primary_key=True)
    request_id: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    """Of `contracts.notice.NoticeKind`."""
    escalated_to: str = Field(default="", primary_key=True, sa_column_kwargs={"server_default": text("''")})
    """Of an escalation the group that may decide from then on: each is told once."""
    channel: str = Field(primary_key=True)
    """Name of the channel in `settings/notify.yaml`."""
    sent_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()")))
