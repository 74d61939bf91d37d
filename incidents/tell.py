"""From a history to the run's story. Pure: no server, no database."""

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import ValidationError

from contracts.call import CallResult, ExecuteTool
from contracts.event import RunRequest
from contracts.limits import NOTE_RUN, Noted
from contracts.outcome import RunReport
from contracts.pause import NOTE_ORDER, PAUSE_RUN, OrderNoted, PauseKept
from contracts.run_activities import CALL_MODEL, EXECUTE_TOOL, PIN_AGENT, Pinned
from contracts.turn import CallContent, CallModel, Calls, Finish, Halted, LimitMet, Malformed, ModelTurn
from contracts.undo import PROPOSE_UNDO
from incidents.digests import compare
from incidents.facts import Activity, Cancellation, Fact, Fault, LinkEnded, LinkStarted, Trouble, facts_of
from incidents.history import BrokenHistoryError, RunHistory
from incidents.story import Note, Story, StoryCall, StoryStep, StoryTurn, StoryVisit
from incidents.votes_told import VotesTold, tell_votes

__all__ = ["tell"]

Ending = Literal["open", "reported", "failed", "timed_out", "terminated", "cancelled"]
_ENDINGS: dict[str, Ending] = {
    "completed": "reported",
    "failed": "failed",
    "timed_out": "timed_out",
    "terminated": "terminated",
    "cancelled": "cancelled",
}
_VISIT_ID = re.compile(r"s(\d+)-c(\d+)-v(\d+)")


def tell(history: RunHistory) -> Story:
    """The story of a run, with every contradiction between its recorded values.

    Raises:
        BrokenHistoryError: it is no run of an agent, or one that this version cannot read.
        UnreadablePayloadError: a payload is encoded.
    """
    facts = facts_of(history)
    try:
        return _told(history, facts)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BrokenHistoryError(f"a recorded {error.title} is not one: {where}: {first['msg']}") from error


def _told(history: RunHistory, facts: Sequence[Fact]) -> Story:
    started = next(fact for fact in facts if isinstance(fact, LinkStarted))
    request = RunRequest.model_validate(started.input)
    pins = [fact for fact in facts if isinstance(fact, Activity) and fact.name == PIN_AGENT.name]
    pinned = next((Pinned.model_validate(pin.result) for pin in pins if pin.state == "done"), None)
    last = next((fact for fact in reversed(facts) if isinstance(fact, LinkEnded)), None)
    ended = last if last is not None and last.how != "continued" else None
    votes = tell_votes(facts, over=ended is not None)
    return Story(
        run_id=history.run_id,
        request=request,
        workflow=started.workflow,
        began_s=started.at_s,
        ended_s=ended.at_s if ended else None,
        links=len(history.links),
        events=history.events,
        definition=pinned.definition if pinned else None,
        pinned=pinned.agent if pinned else None,
        goal=pinned.goal if pinned else "",
        event=pinned.event if pinned else {},
        steps=_steps(facts, votes),
        strays=tuple(votes.strays),
        notes=(*(note for fact in facts if (note := _note(fact)) is not None), *votes.raises),
        ending=_ENDINGS[ended.how] if ended else "open",
        fault=(ended.fault if ended else None) or _not_admitted(pins),
        report=RunReport.model_validate(ended.result) if ended and ended.how == "completed" else None,
        missing=history.missing,
        contradictions=history.contradictions,
        findings=compare(request, facts, votes.grants, votes.edits),
    )


def _not_admitted(pins: Sequence[Activity]) -> Fault | None:
    """Why the run never got to its work."""
    return pins[-1].fault if pins and pins[-1].state == "failed" else None


def _note(fact: Fact) -> Note | None:
    match fact:
        case Cancellation():
            return Note(at_s=fact.at_s, text="cancellation was asked" + (f" by {fact.by}" if fact.by else ""))
        case Trouble():
            text = f"a workflow task failed and is tried again: {fact.fault.kind}: {fact.fault.message}"
            return Note(at_s=fact.at_s, text=text[:500])
        case Activity(name=PAUSE_RUN.name, state="done"):
            return _paused(fact.at_s, PauseKept.model_validate(fact.result))
        case Activity(name=NOTE_ORDER.name, state="done"):
            return _ordered(fact.at_s, OrderNoted.model_validate(fact.result))
        case Activity(name=NOTE_RUN.name, state="done"):
            return _told_model(fact.at_s, Noted.model_validate(fact.result))
        case LinkEnded(how="continued"):
            return Note(at_s=fact.at_s, text="the run went on in another Temporal execution")
        case _:
            return None


def _told_model(at_s: float, noted: Noted) -> Note:
    words = {
        "loop_warning": "the model was told that it goes in circles",
        "drafts_only": "from here on the run writes drafts only; nearly used up",
    }[noted.kind]
    return Note(at_s=at_s, text=f"step {noted.step}: {words}: {noted.detail}"[:500])


def _paused(at_s: float, kept: PauseKept) -> Note | None:
    pause = kept.pause
    if kept.state != "paused":
        return None
    why = f"by {pause.by.person}: {pause.by.reason}" if pause.by else pause.detail
    return Note(at_s=at_s, text=f"the run was paused at step {kept.step}: {why}"[:500])


def _ordered(at_s: float, noted: OrderNoted) -> Note:
    done = {"resume": "resumed", "end": "ended", "hand_over": "handed over"}[noted.order]
    return Note(at_s=at_s, text=f"the run was {done} by {noted.by.person}: {noted.by.reason}"[:500])


def _steps(facts: Sequence[Fact], votes: VotesTold) -> tuple[StoryStep, ...]:
    turns: dict[int, list[StoryTurn]] = {}
    proposed: dict[tuple[int, int], tuple[str, str, CallContent]] = {}
    visits: dict[tuple[int, int], list[StoryVisit]] = {}
    for fact in facts:
        if not isinstance(fact, Activity):
            continue
        if fact.name in (CALL_MODEL.name, PROPOSE_UNDO.name):
            step = CallModel.model_validate(fact.input).step
            turn = ModelTurn.model_validate(fact.result) if fact.state == "done" else None
            turns.setdefault(step, []).append(_turn(fact, turn))
            if turn is not None and isinstance(turn.control, Calls):
                for index, (control, content) in enumerate(zip(turn.control.calls, turn.content.calls, strict=False)):
                    proposed[step, index] = (control.tool, control.arguments_digest, content)
        elif fact.name == EXECUTE_TOOL.name:
            step, call, visit = _visit(fact)
            visits.setdefault((step, call), []).append(visit)
    return tuple(
        StoryStep(
            number=number,
            turns=tuple(tried),
            calls=tuple(
                StoryCall(
                    index=call,
                    tool=tool,
                    why=content.why,
                    arguments=content.arguments,
                    arguments_digest=arguments_digest,
                    visits=tuple(sorted(visits.get((step, call), ()), key=lambda visit: visit.visit)),
                    approvals=tuple(votes.approvals.get((step, call), ())),
                )
                for (step, call), (tool, arguments_digest, content) in proposed.items()
                if step == number
            ),
        )
        for number, tried in sorted(turns.items())
    )


def _turn(fact: Activity, turn: ModelTurn | None) -> StoryTurn:
    times = {
        "began_s": fact.scheduled_at_s,
        "ended_s": None if fact.state == "open" else fact.at_s,
        "attempts": fact.attempts,
        "fault": fact.fault,
    }
    if turn is None:
        return StoryTurn.model_validate({**times, "kind": "thinking" if fact.state == "open" else "failed"})
    match turn.control:
        case Finish():
            detail: str = turn.control.result
        case Malformed():
            detail = turn.control.problem
        case LimitMet():
            detail = turn.control.limit
        case Halted():
            detail = turn.control.by
        case Calls():
            detail = ""
    said = turn.content
    return StoryTurn.model_validate(
        {
            **times,
            "kind": turn.control.kind,
            "detail": detail,
            "text": said.text,
            "summary": said.summary,
            "needed": said.needed,
            "corrections": said.corrections,
            "served_model": turn.served_model,
            "tokens": turn.tokens,
            "micros": turn.micros,
        }
    )


def _visit(fact: Activity) -> tuple[int, int, StoryVisit]:
    """A visit with its step and call; one without a result tells them by its input, or a local one by its id."""
    result = CallResult.model_validate(fact.result) if fact.state == "done" else None
    given = ExecuteTool.model_validate(fact.input) if fact.input is not None else None
    known = result or given
    named = _VISIT_ID.fullmatch(fact.activity_id)
    if known is not None:
        step, call, visit = known.step, known.call, known.visit
    elif named is not None:
        step, call, visit = (int(part) for part in named.groups())
    else:
        raise BrokenHistoryError(f"event {fact.event} is a tool call of which nobody can tell which")
    return step, call, StoryVisit(
        visit=visit,
        began_s=fact.scheduled_at_s,
        ended_s=None if fact.state == "open" else fact.at_s,
        local=fact.local,
        attempts=fact.attempts,
        fault=fact.fault,
        status=result.control.status if result else None,
        effect=result.control.effect if result else None,
        limit=result.control.limit if result else "",
        revision=result.revision if result else given.revision if given else 0,
        arguments=result.content.arguments if result and result.revision else {},
        decision=result.content.decision if result else None,
        message=result.content.message if result else "",
        output=result.content.output if result else None,
        granted_by=given.grant.request_id if given and given.grant else "",
    )  # fmt: skip
