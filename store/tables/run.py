"""Runs: definition, projection, hot state, transcript, journal, effects ledger, audit chain."""

from datetime import datetime
from typing import cast

from sqlalchemy import BigInteger, Column, DateTime, Index, LargeBinary, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from store.tables.base import Table

__all__ = ["AuditRow", "Definition", "EffectRow", "JournalRow", "MessageRow", "RunRow", "RunState"]

JsonColumn = dict[str, object]


def _now(*, nullable: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable, server_default=None if nullable else text("now()"))


def _json(default: str = "{}") -> Column[JsonColumn]:
    column = Column(JSONB, nullable=False, server_default=text(f"'{default}'::jsonb"))
    return cast("Column[JsonColumn]", column)


def _json_or_null() -> Column[JsonColumn]:
    return cast("Column[JsonColumn]", Column(JSONB, nullable=True))


class Definition(Table, table=True):
    """A pinned agent definition, by digest."""

    __tablename__ = "definitions"
    tenant: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    agent: str
    body: str
    """`PinnedAgent` as canonical JSON: text, so that its digest can be checked."""
    created_at: datetime = Field(sa_column=_now())


class RunRow(Table, table=True):
    """One run, for lists and pages. Written at its start and its end only."""

    __tablename__ = "runs"
    __table_args__ = (
        Index("runs_newest", "tenant", text("opened_at desc"), "run_id"),
        Index("runs_by_event", "tenant", "endpoint", "event_id"),
        Index("runs_by_parent", "tenant", "parent_run_id", postgresql_where=text("parent_run_id is not null")),
        Index("runs_open", "tenant", "looked_at", postgresql_where=text("closed_at is null")),
    )
    tenant: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    agent: str
    agent_version: int
    definition: str
    endpoint: str | None = None
    event_id: str | None = None
    parent_run_id: str | None = None
    root_run_id: str
    on_behalf_of: str | None = None
    interested: JsonColumn = Field(sa_column=_json("[]"))
    """Persons who may not approve anything in this run."""
    trusted_fields: JsonColumn = Field(sa_column=_json("[]"))
    """Data fields of the event that its endpoint declares trusted."""
    goal: str
    """The event in short. Content."""
    opened_at: datetime = Field(sa_column=_now())
    closed_at: datetime | None = Field(default=None, sa_column=_now(nullable=True))
    outcome: str | None = None
    reason: str | None = None
    detail: str = Field(default="", sa_column_kwargs={"server_default": ""})
    report: str | None = None
    """`RunReport` as JSON. Content."""
    looked_at: datetime | None = Field(default=None, sa_column=_now(nullable=True))
    """When a sweeper last asked Temporal whether the run still lives."""


class RunState(Table, table=True):
    """The hot row of a run: chain head, counters, limits. Narrow, so that its many updates stay cheap."""

    __tablename__ = "run_state"
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)
    tenant: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    version: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    """Rises with every change that a decision can depend on."""
    audit_seq: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    audit_head: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    message_seq: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    steps: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    model_calls: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    tool_calls: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    effects: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    tokens_used: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    tokens_reserved: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    micros_used: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    micros_reserved: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    admitted: JsonColumn = Field(sa_column=_json())
    """Admitted calls per tool."""
    completed: JsonColumn = Field(sa_column=_json())
    """Completed calls per tool."""
    money_minor: JsonColumn = Field(sa_column=_json())
    """Minor units moved or reserved, per currency."""
    tainted: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    """Whether untrusted content has entered the run through a tool."""
    retries: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Further attempts at model calls that may have been charged, and at tool calls."""
    malformed: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Malformed model answers in a row."""
    tree: str | None = None
    """Root of the run tree whose budget this run draws on; None: it is alone."""
    limit_changes: JsonColumn | None = Field(default=None, sa_column=_json_or_null())
    """By how much each of the run's limits was raised by people or shrunk by doubt since it was pinned."""
    allot_day: str | None = None
    """The day, as `counters.period`, whose allotment the run holds."""
    allot_until: datetime | None = Field(default=None, sa_column=_now(nullable=True))
    """When that day ends."""
    left_tokens: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    """What is left of the allotment, and so on for each measure."""
    left_micros: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    left_model_calls: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    left_tool_calls: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    left_retries: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    left_wall_s: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    closed: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})


class MessageRow(Table, table=True):
    """One message of the transcript, once."""

    __tablename__ = "messages"
    tenant: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    step: int
    call: int | None = None
    """Position within the step's proposal, for tool messages."""
    tokens: int
    """Upper estimate of the tokens that it costs as input."""
    content: str
    """`Message` as JSON text."""


class JournalRow(Table, table=True):
    """Result of one step's model call (call -1) or of one visit of a tool call. Insert, or return what is stored."""

    __tablename__ = "journal"
    tenant: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    step: int = Field(primary_key=True)
    call: int = Field(primary_key=True)
    visit: int = Field(primary_key=True)
    state: str
    """`reserved` or `done`."""
    fence: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    """Rises when a later attempt takes over: only the newest may settle."""
    tokens_reserved: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    """Of a model call, as the next three: none are written where there are none."""
    micros_reserved: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    tokens_lost: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    """Tokens of attempts whose answer was lost: counted as charged."""
    micros_lost: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    tool: str | None = None
    control: str | None = None
    """Control part of the result, as JSON text."""
    message_seq: int | None = None
    """Message that holds the content of the result."""
    decision_seq: int | None = None
    """Audit entry that holds the decision."""
    started_at: datetime = Field(sa_column=_now())
    done_at: datetime | None = Field(default=None, sa_column=_now(nullable=True))


class EffectRow(Table, table=True):
    """Effects ledger: one write, keyed by (run, step, call), never by attempt."""

    __tablename__ = "effects"
    __table_args__ = (
        Index(
            "effects_open_deed",
            "tenant",
            "tool",
            "natural_key",
            unique=True,
            postgresql_where=text("natural_key <> '' and state in ('prepared', 'in_flight', 'unknown')"),
        ),
        Index(
            "effects_done_deed",
            "tenant",
            "tool",
            "natural_key",
            postgresql_where=text("state in ('succeeded', 'abandoned')"),
        ),
        Index("effects_unknown", "tenant", "updated_at", postgresql_where=text("state in ('in_flight', 'unknown')")),
    )
    tenant: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    step: int = Field(primary_key=True)
    call: int = Field(primary_key=True)
    tool: str
    tool_version: int
    service: str
    arguments_digest: str
    arguments: str
    """Canonical JSON. Content."""
    natural_key: str
    state: str
    fence: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    """Finish is compare-and-set on it."""
    attempts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    lease_until: datetime | None = Field(default=None, sa_column=_now(nullable=True))
    first_sent_at: datetime | None = Field(default=None, sa_column=_now(nullable=True))
    credential_expires_at: datetime | None = Field(default=None, sa_column=_now(nullable=True))
    amount_minor: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    currency: str | None = None
    money_period: str | None = None
    """The day, as `counters.period`, whose running totals of money hold its amount."""
    request_id: str | None = None
    """Approval under which it ran."""
    output: str | None = None
    """JSON text. Content."""
    error: str = Field(default="", sa_column_kwargs={"server_default": ""})
    created_at: datetime = Field(sa_column=_now())
    updated_at: datetime = Field(sa_column=_now())
    doubted_at: datetime | None = Field(default=None, sa_column=_now(nullable=True))
    """When it last became unknown: what its age in the queue is counted from."""
    probes: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """How often the service was asked what became of it, besides the run's own visits."""
    probed_at: datetime | None = Field(default=None, sa_column=_now(nullable=True))
    probe_said: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """`done`, `absent` or `unclear`, of the newest."""
    next_probe_at: datetime | None = Field(default=None, sa_column=_now(nullable=True))
    """When it is asked again; also the lease of whoever asks now."""
    resolved_by: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """The person who closed the doubt, or `probe`; empty: it never was in doubt, or still is."""


class AuditRow(Table, table=True):
    """Append-only record, chained per run: `hash = sha256(previous hash || body)`."""

    __tablename__ = "audit"
    __table_args__ = (Index("audit_by_kind", "tenant", "kind", "at"),)
    tenant: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    at: datetime = Field(sa_column=_now())
    kind: str
    body: str
    """JSON text, hashed as it stands."""
    hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
