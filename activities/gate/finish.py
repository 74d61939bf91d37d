"""The end of an admitted call: journal, transcript, ledger and audit chain in one statement."""

from activities.engine import Engine
from activities.gate.visit import StoredControl, Visit, control_of, result_of
from activities.transcript import message_row, tool_message
from contracts.audit import CallFinished
from contracts.base import JsonObject
from contracts.call import CallResult, CallStatus, EffectState
from contracts.canonical import canonical_bytes, digest
from contracts.decision import DecisionRecord
from contracts.tool import Label, Tool
from store.journal import Admission, finish_call

__all__ = ["finish"]

_TOLD = frozenset({CallStatus.RAN, CallStatus.FAILED})
_LOST = Admission(kind="stale", fence=0, effect_fence=0, detail="a later attempt took over")


async def finish(
    engine: Engine,
    visit: Visit,
    tool: Tool,
    admission: Admission,
    record: DecisionRecord,
    status: CallStatus,
    *,
    attempts: int,
    output: JsonObject | None = None,
    message: str = "",
    effect: EffectState | None = None,
    retry_after_s: float | None = None,
) -> CallResult | Admission:
    """Store what became of an admitted call.

    Returns:
        The result; or, when a later attempt took over meanwhile, the reason to start over and read what it stored.
    """
    told = status in _TOLD
    control = control_of(status, told=told, effect=effect, retry_after_s=retry_after_s, decision=record)
    answer = message_row(tool_message(visit.call.call_id, tool.name, output=output, error=message)) if told else None
    stored = await finish_call(
        engine.db,
        visit.request.tenant,
        visit.request.run_id,
        visit.request.step,
        visit.request.call,
        visit.request.visit,
        tool=tool.name,
        fence=admission.fence,
        control=StoredControl(**control.model_dump(), message=message).model_dump_json(),
        message=answer,
        completed=status is CallStatus.RAN,
        tainted=status is CallStatus.RAN and Label.UNTRUSTED in tool.labels.values(),
        audit=CallFinished(
            step=visit.request.step,
            call=visit.request.call,
            visit=visit.request.visit,
            tool=tool.name,
            status=status,
            effect=effect,
            output_digest=digest(output) if output is not None else None,
            error=message,
            attempts=attempts,
        ).model_dump_json(),
        effect_state=effect.value if effect else None,
        effect_fence=admission.effect_fence,
        output=canonical_bytes(output).decode() if effect and output is not None else None,
        error=message,
    )
    return result_of(visit, control, output=output, message=message, decision=record) if stored else _LOST
