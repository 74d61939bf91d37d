"""The end of a visit in which the tool is not run: recorded in one statement, or started over."""

from dataclasses import dataclass
from typing import Literal

from activities.engine import Engine
from activities.gate.judgement import Judgement
from activities.gate.visit import StoredControl, Visit, control_of, result_of
from activities.transcript import message_row
from contracts.audit import CallDecided
from contracts.base import JsonObject
from contracts.call import CallResult, CallStatus, EffectState
from store.journal import Admission, AdmissionRequest, admit_call

__all__ = ["VisitEnd", "decided", "settle"]


@dataclass(frozen=True)
class VisitEnd:
    """What becomes of a call in a visit that does not run its tool."""

    status: CallStatus
    words: str = ""
    """What is said of it: to the model, if it is told."""
    told: bool = True
    """Whether the model is told, by `output` or else by `words`; that settles the call."""
    output: JsonObject | None = None
    """Of a write whose outcome was found out."""
    effect: EffectState | None = None
    """State of the ledger's row, where that is the news."""
    limit: str = ""
    """The limit that was reached."""
    retry_after_s: float | None = None


async def settle(
    engine: Engine, visit: Visit, ending: VisitEnd, judgement: Judgement | None = None, *, repeated: bool = False
) -> CallResult | Admission:
    """Record the end of a visit. An admission is returned where something changed since it was loaded: start over."""
    record = judgement.record if judgement else None
    control = control_of(
        ending.status, told=ending.told, effect=ending.effect, limit=ending.limit,
        retry_after_s=ending.retry_after_s, decision=record,
    )  # fmt: skip
    answer = message_row(visit.answer(output=ending.output, error=ending.words)) if ending.told else None
    admission = await admit_call(
        engine.db,
        visit.key,
        AdmissionRequest(
            agent=visit.agent.name,
            tool=visit.pinned.name,
            version=visit.loaded.run.version,
            agent_version=visit.loaded.agent.version if visit.loaded.agent else 0,
            repeated=repeated,
            verdict="record",
            control=StoredControl(**control.model_dump(), message=ending.words).model_dump_json(),
            message=answer,
            audit=decided(visit, "settled", ending.status, ending.words, judgement),
        ),
    )
    if admission.kind != "recorded":
        return admission
    return result_of(visit, control, output=ending.output, message=ending.words, decision=record)


def decided(
    visit: Visit,
    verdict: Literal["admitted", "settled"],
    status: CallStatus | None = None,
    message: str = "",
    judgement: Judgement | None = None,
) -> str:
    """The entry of the audit chain about a visit's decision, as JSON text."""
    traces = judgement.traces if judgement else {}
    return CallDecided(
        step=visit.request.step,
        call=visit.request.call,
        visit=visit.request.visit,
        tool=visit.request.tool,
        arguments_digest=visit.request.arguments_digest,
        verdict=verdict,
        status=status,
        message=message,
        decision=judgement.record if judgement else None,
        evidence={name: trace.model_dump(mode="json", exclude_defaults=True) for name, trace in traces.items()},
    ).model_dump_json()
