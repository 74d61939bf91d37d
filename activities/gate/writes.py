"""Perform an admitted write: under a lease, with one key, and never claiming to know what is not known."""

from activities.engine import Engine
from activities.gate.cache import forget_reads
from activities.gate.finish import TAKEN_OVER, Ended, finish
from activities.gate.lease import Lease, keeping, start
from activities.gate.run_tool import Attempt, attempt_tool, pause_before, probe_effect
from activities.gate.visit import Visit
from contracts.base import JsonObject
from contracts.call import CallResult, CallStatus, EffectState
from contracts.canonical import canonical_bytes
from contracts.decision import DecisionRecord
from contracts.tool import Tool
from store.journal import Admission

__all__ = ["DOUBT_RETRY_S", "ledger_columns", "perform_write"]

DOUBT_RETRY_S = 15.0
"""When a doubt is looked at again, in seconds."""


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
    lease = await start(engine.db, visit.key, admission.effect_fence, agent=visit.agent.name, tool=tool.name)
    if isinstance(lease, Lease):
        async with keeping(lease):
            ended = await _send(engine, visit, tool, lease)
    elif lease.kind == "halted":
        # Nothing left this process now; whether it did before is what the ledger knew before.
        state = EffectState.UNKNOWN if visit.was_sent else EffectState.FAILED_FINAL
        ended = Ended(status=CallStatus.HALTED, attempts=0, message=f"halted: {lease.detail}", effect=state)
    else:
        return TAKEN_OVER
    if ended.effect is not EffectState.FAILED_FINAL:
        await forget_reads(engine, visit, tool)
    return await finish(engine, visit, tool, admission, record, ended)


async def _send(engine: Engine, visit: Visit, tool: Tool, lease: Lease) -> Ended:
    """Send within the tool's attempts while the lease is held, and say what is known then."""
    sent = visit.was_sent
    attempt = 0
    while True:
        found = await attempt_tool(engine, visit, tool, epoch=lease.epoch, not_after_s=lease.not_after_s)
        attempt += 1
        if found.kind == "done":
            return Ended(status=CallStatus.RAN, attempts=attempt, output=found.output, effect=EffectState.SUCCEEDED)
        if found.kind == "rejected" and (not sent or (tool.key_window_s and found.settles_key)):
            # Under an honoured key a rejection is the key's answer: nothing was done by an earlier attempt either.
            return _failed(attempt, found)
        sent = sent or found.kind == "ambiguous"
        if found.kind == "rejected" or attempt >= tool.attempts or (sent and not tool.key_window_s) or not lease.held:
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
    return Ended(
        status=CallStatus.FAILED, attempts=attempts, message=found.message, effect=EffectState.FAILED_FINAL,
        fault="rejected" if found.kind == "rejected" else "not_sent",
    )  # fmt: skip
