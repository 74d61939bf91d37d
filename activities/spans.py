"""What activities tell OpenTelemetry of a run: spans by its conventions for generative AI, never content.

All spans of a run are one trace, whose ids follow from the run's own: nothing of it stands in a history, and a replay
tells nothing. A span is told when its work is done and recorded; a repetition that finds it recorded tells none.
Without a tracer provider, which `workers.telemetry` sets up, nothing happens here.

Names: https://opentelemetry.io/docs/specs/semconv/gen-ai/, and `countersign.*` for what they have no word for.
"""

import time
from collections.abc import Mapping
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from contracts.agent import PinnedAgent
from contracts.call import CallResult, CallStatus, ExecuteTool
from contracts.check import RunCheck
from contracts.model import ModelChoice, ModelReply
from contracts.outcome import Outcome, RunReport
from contracts.run_activities import CloseRun
from contracts.trace import trace_of
from contracts.turn import CallModel

__all__ = ["PLANNED", "run_ended", "said_by_model", "silent_model", "tool_visited"]

_TRACER = trace.get_tracer("countersign")
PLANNED: ContextVar[SpanContext | None] = ContextVar("planned", default=None)
"""Ids of the span that is being told, where they are not to be random."""
_FAULTS = frozenset({CallStatus.FAILED, CallStatus.UNKNOWN})
"""A denial is none: it is policy at work."""


def said_by_model(
    request: CallModel | RunCheck,
    agent: PinnedAgent,
    reply: ModelReply,
    choice: ModelChoice,
    micros: int,
    began_ns: int,
) -> None:
    """A model answered, and its answer is settled. `micros`: its price, micro-dollars; `began_ns`: Unix time."""
    usage = reply.usage
    attributes = {
        "gen_ai.response.id": reply.request_id,
        "gen_ai.response.model": reply.served_model,
        "gen_ai.response.finish_reasons": (reply.stop.value,),
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_input_tokens,
        "countersign.micros": micros,
    }
    _told(f"chat {choice.model}", _of_model(request, agent, choice) | attributes, _of(request), began_ns)


def silent_model(
    request: CallModel | RunCheck, agent: PinnedAgent, choice: ModelChoice, error: Exception, began_ns: int
) -> None:
    """A model did not answer."""
    _told(f"chat {choice.model}", _of_model(request, agent, choice), _of(request), began_ns, fault=type(error).__name__)


def tool_visited(request: ExecuteTool, agent: PinnedAgent, result: CallResult, began_ns: int) -> None:
    """The gate has dealt with a visit of a call: whatever became of it."""
    control, decision = result.control, result.content.decision
    attributes: dict[str, AttributeValue] = {
        **_common(request.tenant, request.run_id, agent),
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": request.tool,
        "countersign.step": request.step,
        "countersign.call": request.call,
        "countersign.visit": request.visit,
        "countersign.status": control.status.value,
        "countersign.policies": control.policies,
        "countersign.cached": control.cached,
    }
    if decision is not None:
        attributes["countersign.policy_digest"] = decision.bundle_digest
    if control.effect is not None:
        attributes["countersign.effect"] = control.effect.value
    fault = control.fault or control.status.value if control.status in _FAULTS else ""
    _told(f"execute_tool {request.tool}", attributes, _of(request), began_ns, fault=fault)


def run_ended(request: CloseRun, agent: str, report: RunReport, opened_ns: int) -> None:
    """A run of an agent is closed: the span that all others of it lie in. `opened_ns`: Unix time."""
    attributes: dict[str, AttributeValue] = {
        "gen_ai.conversation.id": request.run_id,
        "gen_ai.agent.name": agent,
        "gen_ai.operation.name": "invoke_agent",
        "countersign.tenant": request.tenant,
        "countersign.outcome": report.outcome.value,
        "countersign.reason": report.reason.value,
        **{f"countersign.{name}": value for name, value in report.totals.model_dump().items()},
    }
    planned = PLANNED.set(_of(request))
    try:
        fault = report.reason.value if report.outcome is Outcome.FAILED_SAFE else ""
        _told(f"invoke_agent {agent}", attributes, None, opened_ns, fault=fault)
    finally:
        PLANNED.reset(planned)


def _told(
    name: str,
    attributes: Mapping[str, AttributeValue],
    parent: SpanContext | None,
    began_ns: int,
    *,
    fault: str = "",
) -> None:
    within = trace.set_span_in_context(NonRecordingSpan(parent), Context()) if parent else Context()
    kind = SpanKind.CLIENT if attributes["gen_ai.operation.name"] == "chat" else SpanKind.INTERNAL
    span = _TRACER.start_span(name, within, kind, attributes, start_time=began_ns)
    if fault:
        span.set_attribute("error.type", fault)
        span.set_status(Status(StatusCode.ERROR))
    span.end(max(time.time_ns(), began_ns))


def _of(request: CallModel | RunCheck | ExecuteTool | CloseRun) -> SpanContext:
    """The run's trace, and the span that all others lie in."""
    run, sampled = trace_of(request.tenant, request.run_id), TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(run.trace_id, run.span_id, is_remote=True, trace_flags=sampled)


def _of_model(request: CallModel | RunCheck, agent: PinnedAgent, choice: ModelChoice) -> dict[str, AttributeValue]:
    check = isinstance(request, RunCheck)
    asked_by = {"countersign.check": request.check} if check else {"countersign.role": request.role}
    return {
        **_common(request.tenant, request.run_id, agent),
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": choice.provider.value,
        "gen_ai.request.model": choice.model,
        "gen_ai.request.max_tokens": choice.max_output_tokens,
        "countersign.step": request.step,
        **asked_by,
    }


def _common(tenant: str, run_id: str, agent: PinnedAgent) -> dict[str, AttributeValue]:
    return {
        "gen_ai.conversation.id": run_id,
        "gen_ai.agent.name": agent.name,
        "gen_ai.agent.version": str(agent.version),
        "countersign.tenant": tenant,
        "countersign.prompt_digest": agent.prompt_digest,
    }
