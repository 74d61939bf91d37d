"""End a run: postcondition, outcome, and a packet when a person must go on."""

import json
from typing import cast

from activities.engine import Engine
from activities.packets import escalation_packet
from contracts.audit import RunClosed
from contracts.base import JsonObject
from contracts.call import EffectState
from contracts.model import AssistantMessage
from contracts.outcome import Outcome, OutcomeReason, ReportContent, RunReport
from contracts.postcondition import EffectFact, RunFacts
from contracts.run_activities import CloseRun
from store.effects import end_effects, list_effects
from store.runs import close_run as store_close_run
from store.runs import load_event_of, load_transcript, run_totals, step_lines

__all__ = ["close_run"]

_MAX_STEP_LINES = 400
_UNENDED = frozenset({EffectState.PREPARED, EffectState.IN_FLIGHT})


async def close_run(engine: Engine, request: CloseRun) -> RunReport:
    """Close once; again, return how it was closed."""
    effects = await list_effects(engine.db, request.tenant, request.run_id)
    if any(effect["state"] in _UNENDED for effect in effects):
        await end_effects(engine.db, request.tenant, request.run_id)
        effects = await list_effects(engine.db, request.tenant, request.run_id)
    event = await load_event_of(engine.db, request.tenant, request.run_id)
    transcript = await load_transcript(engine.db, request.tenant, request.run_id)
    summary, needed = _last_words(transcript, request.last_step)
    outcome, reason, detail = request.outcome, request.reason, request.detail
    if outcome is Outcome.COMPLETED and not await _achieved(engine, request, event, effects):
        outcome, reason = Outcome.ESCALATED, OutcomeReason.POSTCONDITION_FAILED
        detail = "the model said it was done, but the recorded effects do not show it"
    packet = None
    if outcome is not Outcome.COMPLETED:
        entries = await step_lines(engine.db, request.tenant, request.run_id, _MAX_STEP_LINES)
        packet = escalation_packet(event, reason, detail, needed, entries, effects)
    totals = await run_totals(engine.db, request.tenant, request.run_id)
    report = RunReport(
        run_id=request.run_id,
        outcome=outcome,
        reason=reason,
        totals=totals,
        content=ReportContent(summary=summary, packet=packet),
    )
    entry = RunClosed(outcome=outcome, reason=reason, detail=detail, totals=totals)
    return await store_close_run(engine.db, request.tenant, report, detail, entry.model_dump_json())


async def _achieved(engine: Engine, request: CloseRun, event: JsonObject, effects: list[JsonObject]) -> bool:
    """Whether the agent's postcondition holds on the recorded effects. One that fails to run does not hold."""
    agent = await engine.definition(request.tenant, request.definition)
    live = engine.registry.live(agent.name)
    if live is None:
        return False
    if live.postcondition is None:
        return True
    data = event.get("data")
    facts = RunFacts(
        event=data if isinstance(data, dict) else {},
        effects=tuple(
            EffectFact(
                tool=str(effect["tool"]),
                state=EffectState(str(effect["state"])),
                arguments=cast("JsonObject", json.loads(str(effect["arguments"]))),
                output=cast("JsonObject", json.loads(str(effect["output"]))) if effect["output"] else None,
            )
            for effect in effects
        ),
    )
    try:
        return live.postcondition(facts)
    except Exception:  # noqa: BLE001 - an agent's own code: a fault of it must not pass for success
        return False


def _last_words(transcript: list[JsonObject], step: int) -> tuple[str, str]:
    """Summary and need of the finish that the model called at a step; its text when it called none."""
    for row in reversed(transcript):
        content = cast("JsonObject", row["content"])
        if row["step"] != step or content.get("role") != "assistant":
            continue
        answer = AssistantMessage.model_validate(content)
        for call in answer.calls:
            if call.tool == "finish":
                words = cast("JsonObject", json.loads(call.arguments_json))
                return str(words.get("summary") or "")[:8_000], str(words.get("needed") or "")[:8_000]
        return answer.text[:8_000], ""
    return "", ""
