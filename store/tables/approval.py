"""Approval requests and votes."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, Index, String, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlmodel import Field

from store.tables.base import Table

__all__ = ["ApprovalRequest", "ApprovalTerm", "VoteRow"]
_OPEN = text("state = 'open'")


def _at(*, nullable: bool = False, default: str | None = None) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable, server_default=text(default) if default else None)


class ApprovalRequest(Table, table=True):
    """A question to people, bound to exactly what is shown."""

    __tablename__ = "approval_requests"
    __table_args__ = (
        Index("approval_requests_visit", "tenant", "run_id", "step", "call", "visit", unique=True),
        Index("approval_requests_by_sla", "tenant", "sla_at", "request_id", postgresql_where=_OPEN),
        Index("approval_requests_by_age", "tenant", "opened_at", "request_id", postgresql_where=_OPEN),
        Index("approval_requests_by_risk", "tenant", "risk", "request_id", postgresql_where=_OPEN),
        Index("approval_requests_ended", "tenant", "ended_at", "request_id"),
        Index("approval_requests_ended_so", "tenant", "state", "ended_at", "request_id"),
    )
    tenant: str = Field(primary_key=True)
    request_id: str = Field(primary_key=True)
    run_id: str
    step: int
    call: int
    visit: int
    agent: str
    tool: str
    tier: int
    digest: str
    """Digest of `basis`: what votes are bound to."""
    basis: str
    """`ApprovalBasis` as canonical JSON."""
    view: str
    """`ApprovalView` as canonical JSON. Content."""
    requirement: str
    """`Requirement` as JSON."""
    interested: str
    """JSON list of the persons who may not vote."""
    escalated_to: list[str] = Field(sa_column=Column(ARRAY(TEXT), nullable=False, server_default=text("'{}'")))
    """Groups that the request has been escalated to so far."""
    state: str = Field(default="open", sa_column_kwargs={"server_default": "open"})
    """`open`, `granted`, `denied`, `expired` or `voided`."""
    opened_at: datetime = Field(sa_column=_at(default="now()"))
    sla_at: datetime = Field(sa_column=_at())
    expires_at: datetime = Field(sa_column=_at())
    closed_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    # The rest is derived by the trigger `derive_request`, so that lists never read a view.
    ended_at: datetime = Field(sa_column=_at())
    """When it was closed; until then when it expires."""
    groups: list[str] = Field(sa_column=Column(ARRAY(TEXT), nullable=False))
    """Groups that the requirement names, and those that it was escalated to."""
    resource_type: str
    resource_id: str
    money_minor: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    currency: str | None
    risk: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Rank by tier, then by the money that moves."""


class ApprovalTerm(Table, table=True):
    """A word or group by which a request is found: row-level security lets no full-text index be used.

    Kept by the trigger `note_terms`.
    """

    __tablename__ = "approval_terms"
    __table_args__ = (Index("approval_terms_found", "tenant", "term", text("ended_at desc"), "request_id"),)
    tenant: str = Field(primary_key=True)
    request_id: str = Field(primary_key=True)
    term: str = Field(sa_column=Column(String(collation="C"), primary_key=True))
    """In lower case; `group:<name>` of a group, `!<name>` of somebody who may not decide it."""
    ended_at: datetime = Field(sa_column=_at())
    """That of the request."""


class VoteRow(Table, table=True):
    """A signed vote, and what the run said to it."""

    __tablename__ = "votes"
    __table_args__ = (
        Index("votes_by_request", "tenant", "request_id", "cast_at"),
        Index(
            "votes_one_a_person",
            "tenant",
            "request_id",
            "person",
            unique=True,
            postgresql_where=text("state <> 'refused'"),
        ),
        Index("votes_waiting", "next_attempt_at", postgresql_where=text("state = 'pending'")),
        Index("votes_newest", "tenant", "cast_at", "decision_id"),
        Index("votes_newest_so", "tenant", "verdict", "cast_at", "decision_id"),
        Index(
            "votes_by_person",
            "tenant",
            "person",
            "cast_at",
            "decision_id",
            postgresql_include=["request_id", "state"],
        ),
        Index(
            "votes_by_represented",
            "tenant",
            "for_person",
            "cast_at",
            postgresql_include=["request_id", "state"],
            postgresql_where=text("for_person <> ''"),
        ),
        Index("votes_by_person_so", "tenant", "person", "verdict", "cast_at", "decision_id"),
    )
    tenant: str = Field(primary_key=True)
    decision_id: str = Field(primary_key=True)
    request_id: str
    run_id: str
    person: str
    display_name: str
    verdict: str
    reason: str
    delegation_id: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """Of a delegate's vote; empty where the person votes for themselves."""
    for_person: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """For whom a delegate votes: person and name."""
    for_name: str = Field(default="", sa_column_kwargs={"server_default": ""})
    edited: str | None = None
    """Of an edit: the arguments as canonical JSON. Content."""
    seen: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """Digest of the page as the voter saw it; empty where another front end showed the canonical view."""
    jws: str
    """The signed vote as sent."""
    state: str = Field(default="pending", sa_column_kwargs={"server_default": "pending"})
    """`pending`, `accepted` or `refused`: as the run answered."""
    refusal: str = Field(default="", sa_column_kwargs={"server_default": ""})
    attempts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    last_error: str = Field(default="", sa_column_kwargs={"server_default": ""})
    cast_at: datetime = Field(sa_column=_at(default="now()"))
    next_attempt_at: datetime = Field(sa_column=_at(default="now()"))
    settled_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
