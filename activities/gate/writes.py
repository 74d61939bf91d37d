"""Perform an admitted write: under a lease, with one key, and never claiming to know what is not known."""

from activities.credentials import CREDENTIAL_LIFETIME_S
from activities.engine import Engine
from activities.gate.finish import Ended, finish
from activities.gate.run_tool import Attempt, attempt_tool, pause_before, probe_effect
from activities.gate.visit import Visit
from contracts.base import JsonObject
from contracts.call import CallResult, CallStatus, EffectState
from contracts.canonical import canonical_bytes
from contracts.decision import DecisionRecord
from contracts.tool import Tool
from store.effects import start_effect
from store.journal import Admission

__all__ = ["DOUBT_RETRY_S", "lease_s", "ledger_columns", "perform_write"]

DOUBT_RETRY_S = 15.0
"""When a doubt is looked at again, in seconds."""
_SLACK_S = 10.0
_PAUSES_S = 10.0


def lease_s(tool: Tool) -> float:
    """How long one holder may be sending: every attempt with its pause, the probe, and some slack."""
    return tool.timeout_s * (tool.attempts + 1) + _PAUSES_S + _SLACK_S


def ledger_columns(visit: Visit, tool: Tool, request_id: str | None, *, resend: bool) -> JsonObject:
    """What the effects ledger keeps of a write."""
    typed = tool.args_model.model_validate(visit.arguments)
    money = tool.money(typed)
    return {
        "tool_version": tool.version,
        "service": tool.service,
        "arguments_digest": visit.request.arguments_digest,
        "arguments": canonical_bytes(visit.arguments).decode(),
        "natural_key": tool.natural_key(typed),
        "amount_minor": money.amount_minor if money else None,
        "currency": money.currency if money else None,
        "request_id": request_id,
        "resend": resend,
    }


async def perform_write(
    engine: Engine, visit: Visit, tool: Tool, admission: Admission, record: DecisionRecord
) -> CallResult | Admission:
    """Send a write. Repeated only where nothing was sent, or where the service honours the key."""
    start = await start_effect(
        engine.db,
        visit.key,
        admission.effect_fence,
        agent=visit.agent.name,
        tool=tool.name,
        lease_s=lease_s(tool),
        credential_s=lease_s(tool) + CREDENTIAL_LIFETIME_S,
    )
    match start.kind:
        case "lost":
            return Admission(kind="stale", fence=0, effect_fence=0, detail="a later attempt took over")
        case "halted":
            ended = Ended(
                status=CallStatus.HALTED, attempts=0, message=f"halted: {start.detail}", effect=EffectState.PREPARED
            )
        case "started":
            ended = await _send(engine, visit, tool)
    return await finish(engine, visit, tool, admission, record, ended)


async def _send(engine: Engine, visit: Visit, tool: Tool) -> Ended:
    """Send within the tool's attempts, and say what is known then."""
    # True once anything left this process under the key: from then on silence is doubt, not failure.
    sent = visit.loaded.effect is not None and visit.loaded.effect.attempts > 0
    attempt = 0
    while True:
        found = await attempt_tool(engine, visit, tool)
        attempt += 1
        if found.kind == "done":
            return Ended(status=CallStatus.RAN, attempts=attempt, output=found.output, effect=EffectState.SUCCEEDED)
        if found.kind == "rejected" and (not sent or tool.key_window_s):
            # Under an honoured key a rejection is the key's answer: nothing was done by an earlier attempt either.
            return _failed(attempt, found)
        sent = sent or found.kind != "not_sent"
        if attempt >= tool.attempts or (sent and not tool.key_window_s):
            break
        await pause_before(attempt - 1, found.wait_s)
    if not sent:
        return _failed(attempt, found)
    probe = await probe_effect(engine, visit, tool)
    if probe.state == "done":
        return Ended(status=CallStatus.RAN, attempts=attempt, output=probe.output or {}, effect=EffectState.SUCCEEDED)
    # Absent is no proof yet: what was sent may still arrive while its credential is valid.
    return Ended(
        status=CallStatus.UNKNOWN, attempts=attempt, message=found.message, effect=EffectState.UNKNOWN,
        retry_after_s=DOUBT_RETRY_S,
    )  # fmt: skip


def _failed(attempts: int, found: Attempt) -> Ended:
    return Ended(status=CallStatus.FAILED, attempts=attempts, message=found.message, effect=EffectState.FAILED_FINAL)
