"""What is counted over many runs: day counters, rate windows, cut-off tools, results that may be served again."""

from datetime import datetime
from typing import cast

from sqlalchemy import BigInteger, Column, DateTime, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER, JSONB
from sqlmodel import Field

from store.tables.base import Table

__all__ = ["Breaker", "CachedRead", "Counter", "RateWindow"]

JsonColumn = dict[str, object]


def _count() -> Column[int]:
    return Column(BigInteger, nullable=False, server_default="0")


def _json() -> Column[JsonColumn]:
    return cast("Column[JsonColumn]", Column(JSONB, nullable=False, server_default=text("'{}'::jsonb")))


def _at(*, nullable: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable, server_default=None if nullable else text("now()"))


class Counter(Table, table=True):
    """What is used or allotted of one budget in one period. Allotted counts as used until a run gives it back."""

    __tablename__ = "counters"
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)
    tenant: str = Field(primary_key=True)
    period: str = Field(primary_key=True)
    """The tenant's day, such as `2026-11-21`; `always` for a run tree."""
    scope: str = Field(primary_key=True)
    """`agent`, `tenant`, `tool` or `tree`."""
    subject: str = Field(primary_key=True)
    """Agent, tool or root run; `*` for a tenant."""
    tokens: int = Field(default=0, sa_column=_count())
    micros: int = Field(default=0, sa_column=_count())
    model_calls: int = Field(default=0, sa_column=_count())
    tool_calls: int = Field(default=0, sa_column=_count())
    retries: int = Field(default=0, sa_column=_count())
    wall_s: int = Field(default=0, sa_column=_count())
    money: JsonColumn = Field(sa_column=_json())
    """Minor units moved or reserved, per currency."""
    raised: JsonColumn = Field(sa_column=_json())
    """By how much people raised the caps of the period, per measure. Of a run tree: the caps themselves."""


class RateWindow(Table, table=True):
    """How often a tool was admitted in each of the last 61 seconds, so that no 60 of them pass its rate."""

    __tablename__ = "rate_windows"
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)
    tenant: str = Field(primary_key=True)
    tool: str = Field(primary_key=True)
    at_s: int = Field(default=0, sa_column=_count())
    """The newest of the seconds, in Unix seconds."""
    calls: list[int] = Field(sa_column=Column(ARRAY(INTEGER), nullable=False))
    """Calls in each second, oldest first."""


class Breaker(Table, table=True):
    """A tool with calls that gave no clear answer. A tool that works has no row."""

    __tablename__ = "breakers"
    tenant: str = Field(primary_key=True)
    tool: str = Field(primary_key=True)
    state: str
    """`closed` (calls go through), `open` (cut off) or `half_open` (one call probes it)."""
    failed_at: list[datetime] = Field(sa_column=Column(ARRAY(DateTime(timezone=True)), nullable=False))
    """When each recent call without a clear answer ended, oldest first."""
    answered: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Calls with a clear answer since the oldest of them."""
    opened: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """How often in a row it was cut off."""
    until: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    """Of `open`: when a call may probe it. Of `half_open`: when another may, if the probing one is lost."""
    changed_at: datetime = Field(sa_column=_at())


class CachedRead(Table, table=True):
    """The result of a read that may be served again, to the same tenant and identity alone."""

    __tablename__ = "cached_reads"
    __table_args__ = (
        Index("cached_reads_by_resource", "tenant", "resource"),
        Index("cached_reads_expired", "tenant", "expires_at"),
    )
    tenant: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    """Digest of tool, version, source, agent, represented user and canonical arguments."""
    resource: str
    """What the read was about, such as `Order/ORD-1001`: a write about the same drops it."""
    output: str
    """Canonical JSON. Content."""
    run_id: str
    """The run that read it."""
    stored_at: datetime = Field(sa_column=_at())
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
