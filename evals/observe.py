"""From a run's story, told by its history alone, and the world's books to evidence."""

from collections.abc import Iterator

from evals.evidence import Books, Evidence, SeenApproval, SeenDecision, SeenProposal, SeenVisit
from incidents.story import Story, StoryApproval, StoryCall, StoryStep, StoryTurn, StoryVisit

__all__ = ["observe"]

_ANSWERS = frozenset({"calls", "finish", "malformed"})


def observe(story: Story, *, tenant: str, books: Books | None, duration_s: float = 0) -> Evidence:
    """What a run's story and the books show. A history that is cut or contradicts itself is no evidence."""
    turns = [turn for step in story.steps for turn in step.turns]
    calls = [(step, call) for step in story.steps for call in step.calls]
    return Evidence(
        run_id=story.run_id,
        tenant=tenant,
        events=story.events,
        gaps=(*story.missing, *story.contradictions, *(finding.in_words() for finding in story.findings)),
        turns=sum(turn.kind in _ANSWERS for turn in turns),
        micros=sum(turn.micros for turn in turns),
        models=tuple(_models(turns)),
        proposals=tuple(
            SeenProposal(step=step.number, call=call.index, tool=call.tool, arguments=call.arguments)
            for step, call in calls
        ),
        visits=tuple(seen for step, call in calls for seen in _visits(step, call)),
        approvals=tuple(_approval(step, call, asked) for step, call in calls for asked in call.approvals),
        report=story.report,
        books=books,
        duration_s=duration_s,
    )


def _models(turns: list[StoryTurn]) -> dict[str, None]:
    """In the order in which they first answered."""
    return dict.fromkeys(turn.served_model for turn in turns if turn.served_model)


def _visits(step: StoryStep, call: StoryCall) -> Iterator[SeenVisit]:
    """Visits that ended; one that did not has shown nothing."""
    for visit in call.visits:
        if visit.status is not None:
            yield SeenVisit(
                step=step.number,
                call=call.index,
                visit=visit.visit,
                tool=call.tool,
                arguments=visit.arguments or call.arguments,
                status=visit.status,
                decision=_decision(visit),
            )


def _decision(visit: StoryVisit) -> SeenDecision | None:
    if visit.decision is None:
        return None
    decision = visit.decision.decision
    return SeenDecision(
        kind=decision.kind,
        policies=tuple(reason.policy for reason in decision.reasons),
        errors=decision.errors if decision.kind == "deny" else (),
    )


def _approval(step: StoryStep, call: StoryCall, asked: StoryApproval) -> SeenApproval:
    return SeenApproval(
        request_id=asked.request_id,
        step=step.number,
        call=call.index,
        tool=call.tool,
        requirement=asked.requirement.id,
        state=asked.state,
        by=tuple(vote.person for vote in asked.votes if vote.counted),
    )
