"""Checks of calls: what a second model or a function said."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime
from sqlmodel import Field

from store.tables.base import Table

__all__ = ["CheckRow"]


class CheckRow(Table, table=True):
    """One check of one call. Insert, or return what is stored."""

    __tablename__ = "checks"
    tenant: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    step: int = Field(primary_key=True)
    call: int = Field(primary_key=True)
    name: str = Field(primary_key=True)
    revision: int = Field(default=0, primary_key=True, sa_column_kwargs={"server_default": "0"})
    """How often people had edited the call: what was said of other arguments counts no more."""
    state: str
    """`reserved` or `done`."""
    fence: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    """Rises when a later attempt takes over: only the newest may settle."""
    tokens_reserved: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    micros_reserved: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    tokens_lost: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    """Tokens of attempts whose answer was lost: counted as charged."""
    micros_lost: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    passed: bool | None = None
    result: str | None = None
    """The result of the activity, as JSON text."""
    done_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
