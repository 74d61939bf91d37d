"""One visit of the workflow at one call: what was asked, checked against what the run really proposed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from pydantic import Field

from activities.engine import Engine, engine_fault
from activities.proposal import parse_call
from activities.transcript import tool_message
from contracts.agent import PinnedAgent, PinnedTool
from contracts.base import JsonObject, is_empty
from contracts.call import CallOutput, CallResult, CallStatus, EffectState, ExecuteTool, ResultControl
from contracts.canonical import digest
from contracts.decision import DecisionRecord
from contracts.model import AssistantMessage, EditedCall, ProposedCall, ToolMessage
from contracts.tool import Tool
from contracts.turn import CallContent
from policy.outgoing import OwnRecords
from policy.provenance import Trace, ValueIndex, edited_by
from store.journal import CallKey, LoadedCall
from store.revisions import Edit

__all__ = [
    "StoredControl",
    "Visit",
    "control_of",
    "json_object",
    "key_of",
    "result_of",
    "schema_unchanged",
    "stored_result",
    "visit_of",
]


@dataclass(frozen=True)
class Visit:
    """A visit with everything that was read about it."""

    request: ExecuteTool
    loaded: LoadedCall
    agent: PinnedAgent
    pinned: PinnedTool
    tool: Tool | None
    """The tool as it is now; None when it is gone."""
    call: CallContent
    """The proposed call, validated again."""
    tools: Mapping[str, Tool]
    """All tools of the agent as they are now."""
    values: ValueIndex = field(default_factory=ValueIndex)
    """What entered the run so far."""
    records: OwnRecords = field(default_factory=OwnRecords)
    """What the run read of each resource."""
    edits: tuple[Edit, ...] = ()
    """How people edited the call, oldest first."""
    editors: Mapping[str, str] = field(default_factory=dict[str, str])
    """Arguments that people wrote, and who."""

    @property
    def key(self) -> CallKey:
        """Key of the journal."""
        return key_of(self.request)

    @property
    def arguments(self) -> JsonObject:
        """Canonical arguments."""
        return self.call.arguments

    def traces(self, tool: Tool) -> dict[str, Trace]:
        """Where each argument came from."""
        traces = self.values.trace(self.arguments, tool.free_text)
        return edited_by(traces, self.editors) if self.editors else traces

    def answer(self, *, output: JsonObject | None = None, error: str = "") -> ToolMessage:
        """What the model is told: the output, or why there is none; and that people edited the call, if they did."""
        told = tool_message(self.call.call_id, self.pinned.name, output=output, error=error)
        if not self.editors:
            return told
        last = next(edit for edit in reversed(self.edits) if not edit.problem)
        edited = EditedCall(by=last.display_name, reason=last.reason, arguments_json=last.arguments)
        return told.model_copy(update={"edited": edited})

    @property
    def was_sent(self) -> bool:
        """Whether anything may have left under the effect key before: from then on silence is doubt, not failure."""
        return self.loaded.effect is not None and self.loaded.effect.attempts > 0

    @property
    def effect_key(self) -> str:
        """Key of the ledger, and of the service's idempotency: never of an attempt."""
        return f"{self.request.run_id}/{self.request.step}/{self.request.call}"


def key_of(request: ExecuteTool) -> CallKey:
    """Key of the journal."""
    return CallKey(request.tenant, request.run_id, request.step, request.call, request.visit)


def visit_of(
    engine: Engine, request: ExecuteTool, agent: PinnedAgent, loaded: LoadedCall, edits: tuple[Edit, ...] = ()
) -> Visit:
    """Check a request against the run: an activity can be started by anyone with access to Temporal.

    `edits` are those of the call, up to the request's revision.

    Raises:
        ApplicationError: the run never proposed this call with these arguments, and nobody edited it so
            (`EngineFault`).
    """
    if len(edits) != request.revision:
        engine_fault(f"call {request.call} of step {request.step} was not edited {request.revision} times")
    if loaded.run.definition != request.definition:
        engine_fault("the definition is not the one that the run pinned")
    pinned = agent.tool(request.tool)
    if pinned is None or not loaded.proposal:
        engine_fault(f"the run proposed no call of {request.tool} at step {request.step}")
    answer = AssistantMessage.model_validate_json(loaded.proposal)
    if request.call >= len(answer.calls) or answer.calls[request.call].tool != request.tool:
        engine_fault(f"call {request.call} of step {request.step} is not {request.tool}")
    live = engine.registry.live(agent.name)
    tools: Mapping[str, Tool] = live.tools if live else {}
    tool = tools.get(request.tool)
    proposed = call = _read(answer.calls[request.call], tools)
    if edits:
        edited = _read(answer.calls[request.call].model_copy(update={"arguments_json": edits[-1].arguments}), tools)
        call = edited.model_copy(update={"why": proposed.why})
    if schema_unchanged(engine, pinned, tool) and digest(call.arguments) != request.arguments_digest:
        engine_fault("the arguments are not those that the run proposed")
    return Visit(
        request, loaded, agent, pinned, tool, call, tools, edits=edits, editors=_editors(proposed.arguments, edits)
    )


def _read(proposed: ProposedCall, tools: Mapping[str, Tool]) -> CallContent:
    parsed = parse_call(proposed, tools)
    if isinstance(parsed, CallContent):
        return parsed
    # Valid when it was proposed: the tool changed or went since. It can only be shown as it was proposed.
    return CallContent(call_id=proposed.call_id, arguments=json_object(proposed.arguments_json), why="")


def _editors(before: JsonObject, edits: Sequence[Edit]) -> dict[str, str]:
    """Arguments that are not as proposed any more, and who wrote each last."""
    proposed, found = before, dict[str, str]()
    for edit in edits:
        after = json_object(edit.arguments)
        found.update({name: edit.display_name for name, value in after.items() if value != before.get(name)})
        before = after
    return {name: by for name, by in found.items() if before.get(name) != proposed.get(name)}


def schema_unchanged(engine: Engine, pinned: PinnedTool, tool: Tool | None) -> bool:
    """Whether the tool is still the one that the run pinned: same version, same schema."""
    return tool is not None and tool.version == pinned.version and engine.schema_digest(tool) == pinned.schema_digest


def json_object(text: str) -> JsonObject:
    """JSON text as an object; empty when it is none."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("JsonObject", value) if isinstance(value, dict) else {}


class StoredControl(ResultControl):
    """Control part of a result as the journal keeps it: with what content cannot be rebuilt from elsewhere."""

    message: str = Field(default="", exclude_if=is_empty)


def result_of(
    visit: Visit,
    control: ResultControl,
    *,
    output: JsonObject | None = None,
    message: str = "",
    decision: DecisionRecord | None = None,
) -> CallResult:
    """The activity's result."""
    request = visit.request
    return CallResult(
        step=request.step,
        call=request.call,
        visit=request.visit,
        tool=request.tool,
        arguments_digest=request.arguments_digest,
        revision=request.revision,
        input_digest=digest(request),
        control=control,
        content=CallOutput(arguments=visit.arguments, output=output, message=message, decision=decision),
    )


def stored_result(visit: Visit) -> CallResult:
    """The result of a visit that is settled already, from the journal, the transcript and the audit chain."""
    stored = StoredControl.model_validate_json(visit.loaded.stored)
    control = ResultControl.model_validate(stored.model_dump(exclude={"message"}))
    output: JsonObject | None = None
    message = stored.message
    if visit.loaded.stored_message:
        told = cast("JsonObject", json.loads(visit.loaded.stored_message))
        text = cast("JsonObject", json.loads(str(told["text"])))
        if told["is_error"]:
            message = str(text.get("error", ""))
        else:
            output = text
    decision = json_object(visit.loaded.stored_decision).get("decision")
    return result_of(
        visit, control, output=output, message=message,
        decision=None if decision is None else DecisionRecord.model_validate(decision),
    )  # fmt: skip


def control_of(
    status: CallStatus,
    *,
    told: bool,
    retry_after_s: float | None = None,
    effect: EffectState | None = None,
    limit: str = "",
    decision: DecisionRecord | None = None,
) -> ResultControl:
    """Control part of a result."""
    verdict = decision.decision if decision else None
    return ResultControl(
        status=status,
        told=told,
        retry_after_s=retry_after_s,
        requirement=verdict.requirement if verdict and verdict.kind == "needs_approval" else None,
        checks=verdict.checks if verdict and verdict.kind == "needs_check" else (),
        limit=limit,
        effect=effect,
        policies=tuple(reason.policy for reason in verdict.reasons) if verdict else (),
    )
