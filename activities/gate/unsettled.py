"""A write that an earlier attempt left behind: wait for its lease, find out what became of it, or stay in doubt."""

from datetime import timedelta
from typing import Literal

from temporalio.exceptions import ApplicationError

from activities.engine import Engine, engine_fault
from activities.gate.run_tool import probe_effect
from activities.gate.settle import VisitEnd
from activities.gate.visit import StoredControl, Visit, control_of, json_object, result_of
from activities.gate.writes import DOUBT_RETRY_S
from activities.transcript import message_row
from contracts.audit import EffectDoubted, EffectResolved
from contracts.base import JsonObject
from contracts.call import CallResult, CallStatus, EffectState
from contracts.canonical import canonical_bytes
from contracts.run_activities import LEASE_HELD
from contracts.tool import Probe, Tool
from store.doubts import CLOCK_SLACK_S
from store.effects import Resolution, doubt_effect, resolve_effect
from store.journal import Admission, EffectNow

__all__ = ["clear_doubt", "known_by_now"]

_UNTOLD = {
    EffectState.FAILED_FINAL: "It did not happen.",
    EffectState.ABANDONED: "It was never found out whether this happened. Do not do it again.",
}
_KNOWN = frozenset({EffectState.SUCCEEDED, EffectState.FAILED_FINAL, EffectState.ABANDONED})
_AGAIN = Admission(kind="stale", fence=0, effect_fence=0, detail="the ledger moved on")


def known_by_now(visit: Visit) -> VisitEnd | None:
    """The end of a call whose doubt was closed, by a person or by the worker that asks again. None: it was not."""
    effect = visit.loaded.effect
    if effect is None or effect.state not in _KNOWN:
        return None
    if effect.state is EffectState.SUCCEEDED:
        return VisitEnd(CallStatus.RAN, output=json_object(effect.output or ""), effect=effect.state)
    return VisitEnd(CallStatus.FAILED, effect.error or _UNTOLD[effect.state], effect=effect.state)


async def clear_doubt(engine: Engine, visit: Visit, tool: Tool) -> Literal["decide", "resend"] | CallResult | Admission:
    """What to do about the call's row of the ledger.

    Returns:
        `decide`: it was never sent, go on as if it were new; `resend`: it is in doubt, and sending it again under its
        key is safe; a result: its outcome is known, or still in doubt; an admission: start over.

    Raises:
        ApplicationError: `LeaseHeld` while an earlier attempt may still be sending.
    """
    effect = visit.loaded.effect
    match effect.state if effect else EffectState.PREPARED:
        case EffectState.PREPARED if not visit.was_sent:
            return "decide"
        case EffectState.PREPARED | EffectState.IN_FLIGHT:
            # Prepared, but sent before: it was to be sent again, and its doubt must not be forgotten over a crash.
            return await _in_flight(engine, visit, effect)
        case EffectState.UNKNOWN:
            return await _unknown(engine, visit, tool, effect)
        case state:
            return engine_fault(f"effect {visit.effect_key} is {state}, which was to be told before")


async def _in_flight(engine: Engine, visit: Visit, effect: EffectNow | None) -> Admission:
    request = visit.request
    left_s = (effect.lease_s or 0) - visit.loaded.now_s if effect else 0
    if left_s > 0:
        raise ApplicationError(
            f"an earlier attempt may still be sending; looked at again in {left_s} s",
            type=LEASE_HELD,
            next_retry_delay=timedelta(seconds=left_s + 1),
        )
    doubt = EffectDoubted(step=request.step, call=request.call, visit=request.visit).model_dump_json()
    if not await doubt_effect(engine.db, visit.key, doubt):
        raise ApplicationError("somebody else holds it now", type=LEASE_HELD, next_retry_delay=timedelta(seconds=1))
    return _AGAIN


async def _unknown(
    engine: Engine, visit: Visit, tool: Tool, effect: EffectNow | None
) -> Literal["resend"] | CallResult | Admission:
    if effect is None:
        return _AGAIN
    probe = await probe_effect(engine, visit, tool)
    if probe.state == "done":
        return await _resolve(engine, visit, tool, effect, EffectState.SUCCEEDED, probe)
    now_s = visit.loaded.now_s
    within_window = tool.key_window_s > 0 and now_s < (effect.first_sent_s or 0) + tool.key_window_s
    credential_over = now_s > (effect.credential_s or 0) + CLOCK_SLACK_S
    if within_window or (probe.state == "absent" and credential_over):
        return "resend"
    return await _resolve(engine, visit, tool, effect, EffectState.UNKNOWN, probe)


async def _resolve(
    engine: Engine, visit: Visit, tool: Tool, effect: EffectNow, state: EffectState, probe: Probe
) -> CallResult | Admission:
    request = visit.request
    known = state is EffectState.SUCCEEDED
    output: JsonObject | None = (probe.output or {}) if known else None
    words = "" if known else "It is not known whether this happened; it is in the unknown queue and is not sent again."
    status = CallStatus.RAN if known else CallStatus.UNKNOWN
    control = control_of(status, told=known, effect=state, retry_after_s=None if known else DOUBT_RETRY_S)
    answer = message_row(visit.answer(output=output)) if known else None
    found = Resolution(
        tool=tool.name,
        effect_fence=effect.fence,
        state=state,
        output=canonical_bytes(output).decode() if output is not None else None,
        error=words,
        control=StoredControl(**control.model_dump(), message=words).model_dump_json(),
        message=answer,
        audit=EffectResolved(
            step=request.step, call=request.call, visit=request.visit, tool=tool.name, state=state,
            how="probe" if known else "no_proof", detail=probe.state,
        ).model_dump_json(),
    )  # fmt: skip
    stored = await resolve_effect(engine.db, visit.key, found)
    return result_of(visit, control, output=output, message=words) if stored else _AGAIN
