"""Pages as approvers saw them."""

from datetime import datetime

from sqlalchemy import Column, DateTime, text
from sqlmodel import Field

from store.tables.base import Table

__all__ = ["SeenPageRow"]


class SeenPageRow(Table, table=True):
    """A page as it was rendered for those who decided on it, once; votes name it. Only added to."""

    __tablename__ = "seen_pages"
    tenant: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    """SHA-256 of `body`: the `seen` of the votes that were cast on it."""
    body: str
    """HTML with its style sheets, without what moves. Content."""
    kept_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()")))
