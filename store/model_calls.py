"""Model calls on the hot path: one statement per phase. Each function calls the one of its name in `store/sql`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from store.database import Database
from store.journal import LoadedCall, loaded_call

__all__ = [
    "ModelBounds",
    "ModelReservation",
    "Settled",
    "SettledAnswer",
    "release_model_call",
    "reserve_model_call",
    "settle_model_call",
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
    day: str
    """The day that the call is counted on."""
    malformed: int
    """Malformed answers in a row so far."""


@dataclass(frozen=True, kw_only=True)
class ModelBounds:
    """What a model call may take at most, and the run in all. Prices are micro-dollars per million tokens."""

    overhead_tokens: int
    """Input beyond the messages: tool schemas, framing."""
    output_tokens: int
    input_price: int
    output_price: int
    limit_steps: int
    limit_tokens: int
    limit_micros: int
    limit_retries: int
    limit_context: int
    """Input tokens of this call."""
    agent: str
    wall_s: int
    """The longest that the call can take, in seconds."""
    limits: str
    """Of the day: JSON text of `activities/limits.py`."""
    known_seq: int = 0
    """The caller knows the transcript up to that message."""
    known_tokens: int = 0
    """Estimated tokens of what it knows."""


async def reserve_model_call(
    db: Database, tenant: str, run_id: str, step: int, bounds: ModelBounds
) -> ModelReservation:
    """Reserve tokens and cost for the step's model call, or return what an earlier attempt settled."""
    row = await db.call(
        "select * from reserve_model_call(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (tenant, run_id, step, bounds.overhead_tokens, bounds.output_tokens, bounds.input_price, bounds.output_price,
         bounds.limit_steps, bounds.limit_tokens, bounds.limit_micros, bounds.limit_retries, bounds.limit_context,
         bounds.wall_s, bounds.limits, bounds.known_seq, bounds.known_tokens, bounds.agent),
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
        day=row["allot_day"] or "",
        malformed=row["malformed"] or 0,
    )


async def release_model_call(
    db: Database, tenant: str, run_id: str, step: int, reservation: ModelReservation, wall_s: int
) -> None:
    """Give back the reservation of an attempt that certainly was not charged."""
    await db.call(
        "select release_model_call(%s, %s, %s, %s, %s, %s)",
        (tenant, run_id, step, reservation.fence, reservation.day, wall_s),
    )


@dataclass(frozen=True, kw_only=True)
class SettledAnswer:
    """A model's answer with everything that is stored with it."""

    fence: int
    """Of the reservation."""
    tokens: int
    micros: int
    messages: Sequence[tuple[str, int | None, int]]
    """JSON text, position of the call that it answers if any, and estimated tokens, in order."""
    audit: str
    day: str = ""
    """Of the reservation."""
    wall_back_s: int = 0
    """What of the reserved time was not used, in seconds."""
    malformed: bool = False
    shrinks: str | None = None
    """The run's limits, when this answer shrinks them: JSON text of `activities/limits.py`."""
    durable: bool = True
    """Whether to wait until it is on disk. Who does not must, before anybody is told of it: see `Database.flush`."""
    agent: str
    first_tool: str | None
    """Tool of the first call that the answer proposes: what the gate needs to decide it is read at once."""
    values_after: int
    """See `load_call`."""
    zone: str | None = None
    """See `load_call`."""


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
        """select * from settle_model_call(%s, %s, %s, %s, %s, %s, %s::text[], %s::int[], %s::int[], %s, %s, %s, %s,
               %s, %s, %s, %s, %s, %s)""",
        (tenant, run_id, step, answer.fence, answer.tokens, answer.micros,
         [text for text, _, _ in answer.messages], [call for _, call, _ in answer.messages],
         [size for _, _, size in answer.messages], answer.audit, answer.day, answer.wall_back_s, answer.malformed,
         answer.shrinks, answer.durable, answer.agent, answer.first_tool, answer.values_after, answer.zone),
    )  # fmt: skip
    return Settled(kind=row["kind"], first_call=loaded_call(row) if row["known"] else None)
