"""Review after the fact: drawn effects, who looked at requests and for how long, test requests, ratings of packets."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, Float, Index, LargeBinary, text
from sqlalchemy.dialects.postgresql import ARRAY, VARCHAR
from sqlmodel import Field

from store.tables.base import Table

__all__ = ["DecoyRow", "EffectReviewRow", "PacketRatingRow", "RequestView", "ReviewMark"]


def _at(*, nullable: bool = False, default: str = "now()") -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable, server_default=None if nullable else text(default))


class DecoyRow(Table, table=True):
    """A test request: it looks like any other, belongs to no run, and must be denied."""

    __tablename__ = "decoys"
    __table_args__ = (
        Index("decoys_by_run", "tenant", "run_id", unique=True),
        Index("decoys_newest", "tenant", text("planted_at desc")),
    )
    tenant: str = Field(primary_key=True)
    request_id: str = Field(primary_key=True)
    run_id: str
    """A run that does not exist."""
    agent: str
    tool: str
    groups: list[str] = Field(sa_column=Column(ARRAY(VARCHAR), nullable=False))
    """Groups that were asked."""
    fault: str
    """What was made wrong, by name."""
    tell: str
    """What a careful look finds. Content."""
    made_from: str
    """The real request that it was made from."""
    planted_by: str
    """A person, or `schedule`."""
    planted_at: datetime = Field(sa_column=_at())
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    ended_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    result: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """`caught`, `missed`, `expired` or `withdrawn`; empty: it waits."""
    person: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """Who decided it."""
    verdict: str = Field(default="", sa_column_kwargs={"server_default": ""})
    reason: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """What they said. Content."""


class EffectReviewRow(Table, table=True):
    """An effect that was drawn, and what a person says of it."""

    __tablename__ = "effect_reviews"
    __table_args__ = (
        Index("effect_reviews_first", "tenant", "agent", "agent_version", postgresql_where=text("because = 'first'")),
        Index("effect_reviews_newest", "tenant", text("labelled_at desc"), postgresql_where=text("label <> ''")),
        Index("effect_reviews_waiting", "tenant", "due_at", postgresql_where=text("label = ''")),
    )
    tenant: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    step: int = Field(primary_key=True)
    call: int = Field(primary_key=True)
    agent: str
    agent_version: int
    tool: str
    tier: int
    """Of the call, as it was decided."""
    because: str
    """`first` or `rate`."""
    share: float = Field(sa_column=Column(Float, nullable=False))
    """Share of such effects that was drawn at the time."""
    drawn_at: datetime = Field(sa_column=_at())
    due_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    label: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """`right`, `wrong`, `harmful` or `cannot_tell`; empty: it waits."""
    note: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """Content."""
    expected: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """What should have happened. Content."""
    person: str = Field(default="", sa_column_kwargs={"server_default": ""})
    labelled_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))


class PacketRatingRow(Table, table=True):
    """What somebody who went on from an escalation packet says of it."""

    __tablename__ = "packet_ratings"
    tenant: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    person: str = Field(primary_key=True)
    useful: str
    """`yes`, `partly` or `no`."""
    minutes_saved: int
    """By the person's own estimate; 0: none."""
    note: str
    """Content."""
    rated_at: datetime = Field(sa_column=_at())


class RequestView(Table, table=True):
    """One person's look at one request: from the first sight to the decision."""

    __tablename__ = "request_views"
    __table_args__ = (Index("request_views_by_run", "tenant", "run_id"),)
    tenant: str = Field(primary_key=True)
    request_id: str = Field(primary_key=True)
    person: str = Field(primary_key=True)
    run_id: str
    first_seen_at: datetime = Field(sa_column=_at())
    last_seen_at: datetime = Field(sa_column=_at())
    views: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """How often it was opened before the decision; 0: decided without looking."""
    attended_ms: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    """Time between consecutive sights, each bounded, up to the decision."""
    decided_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))


class ReviewMark(Table, table=True):
    """How far a tenant's settled effects have been drawn from, and the secret by which they are."""

    __tablename__ = "review_marks"
    tenant: str = Field(primary_key=True)
    seed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """256 random bits. Whoever knows them can foretell what is drawn."""
    at: datetime = Field(sa_column=_at(default="'-infinity'"))
    """Time, run and number of the last audit entry that was looked at."""
    run_id: str = Field(default="", sa_column_kwargs={"server_default": ""})
    seq: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    watched_at: datetime = Field(sa_column=_at(default="'-infinity'"))
    """When people's decisions were last looked at for alarms."""
    created_at: datetime = Field(sa_column=_at())
