"""End a run: postcondition, outcome, and a packet when a person must go on."""

import json
import logging
from typing import cast

from activities.engine import Engine
from activities.packets import escalation_packet
from activities.spans import run_ended
from contracts.audit import RunClosed
from contracts.base import JsonObject
from contracts.call import EffectState
from contracts.model import AssistantMessage
from contracts.outcome import Outcome, OutcomeReason, ReportContent, RunReport
from contracts.postcondition import EffectFact, RunFacts
from contracts.run_activities import CloseRun
from contracts.undo import UNDO_SUFFIX
from store.runs import Closing, begin_closing, step_lines
from store.runs import close_run as store_close_run

__all__ = ["close_run"]

_MAX_STEP_LINES = 400
_LOG = logging.getLogger(__name__)


async def close_run(engine: Engine, request: CloseRun) -> RunReport:
    """Close once; again, return how it was closed."""
    closing = await begin_closing(engine.db, request.tenant, request.run_id, request.last_step)
    summary, asked = _last_words(closing.answer)
    outcome, reason, detail = request.outcome, request.reason, request.detail
    if outcome is Outcome.COMPLETED and not await _achieved(engine, request, closing):
        outcome, reason = Outcome.ESCALATED, OutcomeReason.POSTCONDITION_FAILED
        detail = "the model said it was done, but the recorded effects do not show it"
    packet = None
    if outcome is not Outcome.COMPLETED:
        entries = await step_lines(engine.db, request.tenant, request.run_id, _MAX_STEP_LINES)
        by_model = not closing.agent.endswith(UNDO_SUFFIX)
        packet = escalation_packet(closing.event, reason, detail, asked, entries, closing.effects, by_model=by_model)
    report = RunReport(
        run_id=request.run_id,
        outcome=outcome,
        reason=reason,
        totals=closing.totals,
        content=ReportContent(summary=summary, packet=packet),
    )
    entry = RunClosed(outcome=outcome, reason=reason, detail=detail, totals=closing.totals)
    closed = await store_close_run(engine.db, request.tenant, report, detail, entry.model_dump_json())
    if not closing.was_closed:
        _LOG.info("the run ended: %s, %s", closed.outcome.value, closed.reason.value)
        run_ended(request, closing.agent, closed, closing.opened_us * 1_000)
    return closed


async def _achieved(engine: Engine, request: CloseRun, closing: Closing) -> bool:
    """Whether the agent's postcondition holds on the recorded effects. One that fails to run does not hold."""
    agent = await engine.definition(request.tenant, request.definition)
    live = engine.registry.live(agent.name)
    if live is None:
        return False
    if live.postcondition is None:
        return True
    data = closing.event.get("data")
    facts = RunFacts(
        event=data if isinstance(data, dict) else {},
        effects=tuple(
            EffectFact(
                tool=str(effect["tool"]),
                state=EffectState(str(effect["state"])),
                arguments=cast("JsonObject", json.loads(str(effect["arguments"]))),
                output=cast("JsonObject", json.loads(str(effect["output"]))) if effect["output"] else None,
            )
            for effect in closing.effects
        ),
    )
    try:
        return live.postcondition(facts)
    except Exception:  # noqa: BLE001 - an agent's own code: a fault of it must not pass for success
        return False


def _last_words(said: str) -> tuple[str, str]:
    """Summary and need of the finish that the model called; its text when it called none."""
    if not said:
        return "", ""
    answer = AssistantMessage.model_validate_json(said)
    for call in answer.calls:
        if call.tool == "finish":
            words = cast("JsonObject", json.loads(call.arguments_json))
            return str(words.get("summary") or "")[:8_000], str(words.get("needed") or "")[:8_000]
    return answer.text[:8_000], ""
