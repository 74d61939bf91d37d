"""The end of an admitted call: journal, transcript, ledger and audit chain in one statement."""

from dataclasses import dataclass
from typing import Literal

from activities.engine import Engine
from activities.gate.counting import unused_s, wall_s
from activities.gate.visit import StoredControl, Visit, control_of, result_of
from activities.transcript import message_row
from contracts.audit import CallFinished
from contracts.base import JsonObject
from contracts.call import CallResult, CallStatus, EffectState
from contracts.canonical import canonical_bytes, digest
from contracts.decision import DecisionRecord
from contracts.tool import Label, Tool
from store.journal import Admission, FinishedCall, finish_call

__all__ = ["TAKEN_OVER", "Ended", "finish"]

_TOLD = frozenset({CallStatus.RAN, CallStatus.FAILED})
TAKEN_OVER = Admission(kind="stale", fence=0, effect_fence=0, detail="a later attempt took over")
"""This attempt is not the holder any more, and must not fight: it reads what the later one stored, or ends."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How an admitted call ended."""

    status: CallStatus
    attempts: int
    output: JsonObject | None = None
    message: str = ""
    """Why there is no output."""
    effect: EffectState | None = None
    """Of a write."""
    retry_after_s: float | None = None
    fault: Literal["", "rejected", "not_sent", "ambiguous"] = ""
    """Of a failure: what is known of it."""
    cached_from: str = ""
    """The run that read the output, where it was served again."""


async def finish(
    engine: Engine, visit: Visit, tool: Tool, admission: Admission, record: DecisionRecord, ended: Ended
) -> CallResult | Admission:
    """Store what became of an admitted call.

    Returns:
        The result; or, when a later attempt took over meanwhile, the reason to start over and read what it stored.
    """
    told = ended.status in _TOLD
    output_digest = digest(ended.output) if ended.output is not None else None
    control = control_of(
        ended.status, told=told, effect=ended.effect, retry_after_s=ended.retry_after_s, decision=record
    ).model_copy(
        update={
            "output_digest": (output_digest or "").removeprefix("sha256:")[:16],
            "fault": ended.fault,
            "cached": bool(ended.cached_from),
        }
    )
    # Doubt about what the tools say is a reason to go on with less.
    doubtful = ended.status is CallStatus.UNKNOWN or ended.fault == "ambiguous"
    message = visit.answer(output=ended.output, error=ended.message)
    answer = message_row(message) if told else None
    done = FinishedCall(
        tool=tool.name,
        fence=admission.fence,
        control=StoredControl(**control.model_dump(), message=ended.message).model_dump_json(),
        message=answer,
        completed=ended.status is CallStatus.RAN,
        tainted=ended.status is CallStatus.RAN and Label.UNTRUSTED in tool.labels.values(),
        audit=CallFinished(
            step=visit.request.step,
            call=visit.request.call,
            visit=visit.request.visit,
            tool=tool.name,
            status=ended.status,
            effect=ended.effect,
            output_digest=output_digest,
            error=ended.message,
            attempts=ended.attempts,
            cached_from=ended.cached_from,
            shrunk=doubtful,
        ).model_dump_json(),
        effect_state=ended.effect.value if ended.effect else None,
        effect_fence=admission.effect_fence,
        output=canonical_bytes(ended.output).decode() if ended.effect and ended.output is not None else None,
        error=ended.message,
        day=admission.day,
        wall_back_s=unused_s(wall_s(tool), admission.at_s),
        retries=max(ended.attempts - 1, 0),
        shrinks=engine.limits.for_model(visit.request.tenant, visit.request.definition, visit.agent)
        if doubtful
        else None,
    )
    if not await finish_call(engine.db, visit.key, done):
        return TAKEN_OVER
    return result_of(visit, control, output=ended.output, message=ended.message, decision=record)
