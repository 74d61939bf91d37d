"""The hot path: one statement per phase of a step. Each function calls the one of its name in `store/sql`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
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
    "ModelBounds",
    "ModelReservation",
    "RunNow",
    "Settled",
    "SettledAnswer",
    "admit_call",
    "finish_call",
    "load_call",
    "release_model_call",
    "reserve_model_call",
    "settle_model_call",
    "tell_call",
]


@dataclass(frozen=True)
class ModelReservation:
    """What `reserve_model_call` found or did."""

    kind: Literal["stored", "reserved", "limit", "halted", "closed", "absent"]
    fence: int
    limit: str
    control: str
    """Of `stored`: the settled result without its content. Of `halted`: by what."""
    messages: str
    """Of `reserved`: the messages after those that were known, as a JSON list. Of `stored`: the assistant's message."""
    message_seq: int
    """Of `reserved`: sequence number of the transcript's last message."""
    message_tokens: int
    """Of `reserved`: estimated tokens of `messages`."""
    tokens_lost: int
    """Tokens of earlier attempts whose answer was lost."""
    micros_lost: int


@dataclass(frozen=True, kw_only=True)
class ModelBounds:
    """What a model call may take at most, and the run in all. Prices are micro-dollars per million tokens."""

    agent: str
    overhead_tokens: int
    """Input beyond the messages: tool schemas, framing."""
    output_tokens: int
    input_price: int
    output_price: int
    limit_steps: int
    limit_tokens: int
    limit_micros: int
    known_seq: int = 0
    """The caller knows the transcript up to that message."""
    known_tokens: int = 0
    """Estimated tokens of what it knows."""


async def reserve_model_call(
    db: Database, tenant: str, run_id: str, step: int, bounds: ModelBounds
) -> ModelReservation:
    """Reserve tokens and cost for the step's model call, or return what an earlier attempt settled."""
    row = await db.call(
        "select * from reserve_model_call(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (tenant, run_id, step, bounds.overhead_tokens, bounds.output_tokens, bounds.input_price, bounds.output_price,
         bounds.limit_steps, bounds.limit_tokens, bounds.limit_micros, bounds.known_seq, bounds.known_tokens,
         bounds.agent),
    )  # fmt: skip
    return ModelReservation(
        kind=row["kind"],
        fence=row["fence"] or 0,
        limit=row["limit_name"] or "",
        control=row["control"] or "",
        messages=row["messages"] or "",
        message_seq=row["message_seq"] or 0,
        message_tokens=row["message_tokens"] or 0,
        tokens_lost=row["tokens_lost"] or 0,
        micros_lost=row["micros_lost"] or 0,
    )


async def release_model_call(db: Database, tenant: str, run_id: str, step: int, fence: int) -> None:
    """Give back the reservation of an attempt that certainly was not charged."""
    await db.call("select release_model_call(%s, %s, %s, %s)", (tenant, run_id, step, fence))


@dataclass(frozen=True, kw_only=True)
class SettledAnswer:
    """A model's answer with everything that is stored with it."""

    fence: int
    """Of the reservation."""
    tokens: int
    micros: int
    control: str
    """Control part of the result, as JSON text."""
    messages: Sequence[tuple[str, int | None, int]]
    """JSON text, position of the call that it answers if any, and estimated tokens, in order."""
    audit: str
    agent: str
    first_tool: str | None
    """Tool of the first call that the answer proposes: what the gate needs to decide it is read at once."""
    values_after: int
    """See `load_call`."""


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
    values: str
    """The event, the proposals and the tool messages after `values_after`, as a JSON list."""
    values_seq: int | None
    """Sequence number of the last of them; None when there are none."""


async def load_call(db: Database, key: CallKey, *, agent: str, tool: str, values_after: int) -> LoadedCall | None:
    """Read a call and its surroundings; None when there is no such run.

    `values_after` is the sequence number up to which the caller knows the recorded values already.
    """
    row = await db.call(
        "select * from load_call(%s, %s, %s, %s, %s, %s, %s, %s)",
        (key.tenant, key.run_id, key.step, key.call, key.visit, agent, tool, values_after),
    )
    return _loaded(row) if row["known"] else None


def _loaded(row: DictRow) -> LoadedCall:
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
        values=row["recorded"] or "[]",
        values_seq=row["recorded_seq"],
    )


@dataclass(frozen=True)
class Settled:
    """What `settle_model_call` did."""

    kind: Literal["settled", "lost"]
    """`lost`: a later attempt took over; read again what that one settled."""
    first_call: LoadedCall | None
    """The first call that the answer proposes, as the gate will want it."""


async def settle_model_call(db: Database, tenant: str, run_id: str, step: int, answer: SettledAnswer) -> Settled:
    """Store the answer."""
    row = await db.call(
        "select * from settle_model_call(%s, %s, %s, %s, %s, %s, %s, %s::text[], %s::int[], %s::int[], %s, %s, %s, %s)",
        (tenant, run_id, step, answer.fence, answer.tokens, answer.micros, answer.control,
         [text for text, _, _ in answer.messages], [call for _, call, _ in answer.messages],
         [size for _, _, size in answer.messages], answer.audit, answer.agent, answer.first_tool, answer.values_after),
    )  # fmt: skip
    return Settled(kind=row["kind"], first_call=_loaded(row) if row["known"] else None)


@dataclass(frozen=True)
class Admission:
    """What the gate's statement did."""

    kind: Literal["admitted", "recorded", "stale", "halted", "limit", "deed_open", "stored"]
    fence: int
    effect_fence: int
    detail: str
    """The switch, the limit, the other call with the same deed, or `repeated` where that alone was stale."""
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
    limit_tool_calls: int
    effect: JsonObject | None = None
    """Of a write: the ledger's columns."""


async def admit_call(db: Database, key: CallKey, request: AdmissionRequest) -> Admission:
    """Admit a call, or record that it is not; only if nothing that the decision was made on has changed."""
    text, size = request.message or (None, None)
    row = await db.call(
        "select * from admit_call(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (key.tenant, key.run_id, key.step, key.call, key.visit, request.agent, request.tool, request.version,
         request.agent_version, request.repeated, request.verdict, request.control, text, size, request.audit,
         request.limit_tool_calls, json.dumps(request.effect) if request.effect is not None else None),
    )  # fmt: skip
    return Admission(
        kind=row["kind"],
        fence=row["fence"] or 0,
        effect_fence=row["effect_fence"] or 0,
        detail=row["detail"] or "",
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


async def finish_call(db: Database, key: CallKey, done: FinishedCall) -> bool:
    """Store what became of a call. False when a later attempt took over: read again what that one stored."""
    text, size = done.message or (None, None)
    row = await db.call(
        "select * from finish_call(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (key.tenant, key.run_id, key.step, key.call, key.visit, done.tool, done.fence, done.control, text, size,
         done.completed, done.tainted, done.audit, done.effect_state, done.effect_fence, done.output, done.error),
    )  # fmt: skip
    return row["kind"] == "finished"


async def tell_call(cursor: AsyncCursor[DictRow], key: CallKey, message: tuple[str, int]) -> None:
    """Answer a call that ended without running, such as one that people denied. Settles the call."""
    await cursor.execute(
        "select tell_call(%s, %s, %s, %s, %s, %s, %s)",
        (key.tenant, key.run_id, key.step, key.call, key.visit, *message),
    )
