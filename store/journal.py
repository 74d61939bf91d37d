"""Tool calls on the hot path: one statement per phase. Each function calls the one of its name in `store/sql`."""

import json
import time
from dataclasses import dataclass, field
from typing import Literal

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.agent import Stage
from contracts.base import JsonObject, Record
from contracts.call import EffectState
from store.database import Database

__all__ = [
    "Admission",
    "AdmissionRequest",
    "AgentNow",
    "CallKey",
    "EffectNow",
    "FinishedCall",
    "LoadedCall",
    "RunNow",
    "Today",
    "admit_call",
    "finish_call",
    "load_call",
    "loaded_call",
    "tell_call",
]


@dataclass(frozen=True)
class CallKey:
    """One visit of one call."""

    tenant: str
    run_id: str
    step: int
    call: int
    visit: int


class RunNow(Record):
    """A run as it stands when a call is decided."""

    version: int
    """Rises with every change that a decision can depend on."""
    closed: bool
    definition: str
    """Digest of the pinned agent."""
    on_behalf_of: str | None
    trusted_fields: tuple[str, ...]
    """Data fields of the event that its endpoint declares trusted."""
    limit_changes: dict[str, int] | None
    """By how much each limit was raised or shrunk since it was pinned."""
    tool_calls: int
    admitted: dict[str, int]
    """Admitted calls per tool."""
    completed: dict[str, int]
    """Completed calls per tool."""
    money_minor: dict[str, int]
    """Minor units moved or reserved, per currency."""
    tainted: bool
    opened_s: int
    """Unix seconds."""


class Today(Record):
    """What policy sees of the tenant's day."""

    calls: int
    """Admitted calls of the tool."""
    money: dict[str, int]
    """Minor units that it moved or reserved, per currency."""


class AgentNow(Record):
    """An agent's state in the tenant."""

    enabled: bool
    stage: Stage
    tier_ceiling: int
    version: int


class EffectNow(Record):
    """A call's row of the effects ledger. Times are Unix seconds."""

    state: EffectState
    fence: int
    arguments_digest: str
    attempts: int
    output: str | None
    error: str
    amount_minor: int | None
    currency: str | None
    lease_s: int | None
    first_sent_s: int | None
    credential_s: int | None


@dataclass(frozen=True)
class LoadedCall:
    """Everything that a decision about a call depends on, read in one snapshot."""

    stored: str
    """Control of this visit if it is settled, as JSON text; else empty."""
    stored_decision: str
    stored_message: str
    proposal: str
    """The model's message of the step, as JSON text; empty when the step has none."""
    run: RunNow
    agent: AgentNow | None
    """The agent's state in the tenant; None: it has none, so it is off."""
    effect: EffectNow | None
    settled_visit: int | None
    counted: bool
    """An earlier attempt or visit was admitted: the run's counters hold this call already."""
    halted_by: str
    """The kill switch that holds, such as `tool:payments.issue_refund`; empty: none."""
    now_s: int
    today: Today | None
    """Of a tool whose calls policy sees by day."""
    values: str
    """The event, the proposals and the tool messages after `values_after`, as a JSON list."""
    values_seq: int | None
    """Sequence number of the last of them; None when there are none."""


async def load_call(
    db: Database, key: CallKey, *, agent: str, tool: str, values_after: int, zone: str | None = None
) -> LoadedCall | None:
    """Read a call and its surroundings; None when there is no such run.

    `values_after` is the sequence number up to which the caller knows the recorded values already; `zone`, whose
    day it is, is given of a tool whose calls policy sees by day.
    """
    row = await db.call(
        "select * from load_call(%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (key.tenant, key.run_id, key.step, key.call, key.visit, agent, tool, values_after, zone),
    )
    return loaded_call(row) if row["known"] else None


def loaded_call(row: DictRow) -> LoadedCall:
    """What a row of `load_call` says."""
    return LoadedCall(
        stored=row["stored"] or "",
        stored_decision=row["stored_decision"] or "",
        stored_message=row["stored_message"] or "",
        proposal=row["proposal"] or "",
        run=RunNow.model_validate(row["run"]),
        agent=AgentNow.model_validate(row["agent"]) if row["agent"] else None,
        effect=EffectNow.model_validate(row["effect"]) if row["effect"] else None,
        settled_visit=row["settled_visit"],
        counted=row["counted"],
        halted_by=row["halted_by"] or "",
        now_s=row["now_s"],
        today=Today.model_validate(row["today"]) if row["today"] else None,
        values=row["recorded"] or "[]",
        values_seq=row["recorded_seq"],
    )


@dataclass(frozen=True)
class Admission:
    """What the gate's statement did."""

    kind: Literal["admitted", "recorded", "stale", "halted", "limit", "rate", "deed_open", "stored"]
    fence: int
    effect_fence: int
    detail: str
    """The switch, the limit, the other call with the same deed, or `repeated` where that alone was stale."""
    retry_after_s: float = 0.0
    """Of a rate."""
    day: str = ""
    """The day that the call is counted on."""
    at_s: float = field(default_factory=time.monotonic)
    """When it was made, by the monotonic clock of this process."""
    epoch: int = 0
    """Of an admitted read: revocation epoch of its credentials."""


@dataclass(frozen=True, kw_only=True)
class AdmissionRequest:
    """A decision to be carried out, with what it was made on."""

    agent: str
    tool: str
    version: int
    """Version of the run's state that the decision was made on."""
    agent_version: int
    repeated: bool
    """Whether the decision was made on the deed having been done before."""
    verdict: Literal["read", "write", "record"]
    """Admit a read or a write, or record that the call is settled without running."""
    control: str = ""
    """Of a record: the result to store, as JSON text."""
    message: tuple[str, int] | None = None
    """Of a record: what the model is told (JSON text, estimated tokens), when that settles the call."""
    audit: str
    limit_tool_calls: int = 0
    """Of a read or a write, and so for those below."""
    limit_retries: int = 0
    wall_s: int = 0
    """The longest that the call can take, in seconds."""
    limits: str = "{}"
    """Of the day: JSON text of `activities/limits.py`."""
    decided_on: Today | None = None
    """What the decision saw of the day; None: policy does not look at it."""
    rated: bool = False
    """Whether the tool has a rate, is counted by day, or moves money."""
    effect: JsonObject | None = None
    """Of a write: the ledger's columns."""
    standing: JsonObject | None = None
    """Of a call under a standing approval: what was verified of it, as `store/sql/81_standing.sql` counts it."""


async def admit_call(db: Database, key: CallKey, request: AdmissionRequest) -> Admission:
    """Admit a call, or record that it is not; only if nothing that the decision was made on has changed."""
    text, size = request.message or (None, None)
    seen = request.decided_on.model_dump_json() if request.decided_on else None
    effect = json.dumps(request.effect) if request.effect is not None else None
    standing = json.dumps(request.standing) if request.standing is not None else None
    row = await db.call(
        """select * from admit_call(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
               %s, %s)""",
        (key.tenant, key.run_id, key.step, key.call, key.visit, request.agent, request.tool, request.version,
         request.agent_version, request.repeated, request.verdict, request.control, text, size, request.audit,
         request.limit_tool_calls, request.limit_retries, request.wall_s, request.limits, seen, request.rated, effect,
         standing),
    )  # fmt: skip
    return Admission(
        kind=row["kind"],
        fence=row["fence"] or 0,
        effect_fence=row["effect_fence"] or 0,
        detail=row["detail"] or "",
        retry_after_s=row["retry_after_s"] or 0.0,
        day=row["allot_day"] or "",
        epoch=row["epoch"] or 0,
    )


@dataclass(frozen=True, kw_only=True)
class FinishedCall:
    """What became of an admitted call."""

    tool: str
    fence: int
    """Of the admission."""
    control: str
    """Control part of the result, as JSON text."""
    message: tuple[str, int] | None
    """What the model is told (JSON text, estimated tokens)."""
    completed: bool
    tainted: bool
    """Whether untrusted content enters the run with it."""
    audit: str
    effect_state: str | None = None
    """Of a write."""
    effect_fence: int = 0
    output: str | None = None
    """Of a write, as JSON text."""
    error: str = ""
    day: str = ""
    """Of the admission."""
    wall_back_s: int = 0
    """What of the reserved time was not used, in seconds."""
    retries: int = 0
    """Attempts beyond the first."""
    shrinks: str | None = None
    """The run's limits, when what became of the call shrinks them: JSON text of `activities/limits.py`."""


async def finish_call(db: Database, key: CallKey, done: FinishedCall) -> bool:
    """Store what became of a call. False when a later attempt took over: read again what that one stored."""
    text, size = done.message or (None, None)
    row = await db.call(
        "select * from finish_call(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (key.tenant, key.run_id, key.step, key.call, key.visit, done.tool, done.fence, done.control, text, size,
         done.completed, done.tainted, done.audit, done.effect_state, done.effect_fence, done.output, done.error,
         done.day, done.wall_back_s, done.retries, done.shrinks),
    )  # fmt: skip
    return row["kind"] == "finished"


async def tell_call(cursor: AsyncCursor[DictRow], key: CallKey, message: tuple[str, int]) -> None:
    """Answer a call that ended without running, such as one that people denied. Settles the call."""
    await cursor.execute(
        "select tell_call(%s, %s, %s, %s, %s, %s, %s)",
        (key.tenant, key.run_id, key.step, key.call, key.visit, *message),
    )
