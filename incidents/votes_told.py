"""Which votes counted, found again: the signals of a history are put before the same ballot that the run used."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.event import RunRequest
from contracts.limits import OPEN_RAISE, SETTLE_RAISE, OpenRaise, RaiseOpened, RaiseSettled
from contracts.run_activities import (
    OPEN_APPROVAL,
    PIN_AGENT,
    SETTLE_APPROVAL,
    ApprovalOpened,
    ApprovalSettled,
    OpenApproval,
    Pinned,
)
from contracts.vote import Grant, SignedVote, Verdict, Vote, VoteAccepted, VoteRefused
from incidents.facts import Activity, Fact, LinkStarted, Signal
from incidents.story import Note, StoryApproval, StoryVote
from policy.votes import read_vote
from workflows.ballot import Ballot

__all__ = ["Edit", "VotesTold", "tell_votes"]

_NEVER_JUDGED = "never_judged"
_SAID = {
    Verdict.APPROVE: "approves",
    Verdict.DENY: "denies",
    Verdict.EDIT: "edits",
    Verdict.ASK: "asks",
    Verdict.HAND_OVER: "takes over",
}


@dataclass(frozen=True)
class Edit:
    """An edit as an approver signed it."""

    step: int
    call: int
    digest: str
    """Of the edited arguments."""


@dataclass
class VotesTold:
    """Approvals and grants of a run, by call."""

    approvals: dict[tuple[int, int], list[StoryApproval]] = field(
        default_factory=dict[tuple[int, int], list[StoryApproval]]
    )
    """By step and call."""
    grants: dict[tuple[int, int], list[Grant]] = field(default_factory=dict[tuple[int, int], list[Grant]])
    """By step and call."""
    edits: dict[str, Edit] = field(default_factory=dict[str, Edit])
    """By the request that they ended."""
    strays: list[StoryVote] = field(default_factory=list[StoryVote])
    """Votes for no request of this run."""
    raises: list[Note] = field(default_factory=list[Note])
    """What people were asked about limits, and said."""


@dataclass
class _Asked:
    """A request while it is followed."""

    about: OpenApproval | OpenRaise
    opened: ApprovalOpened
    opened_at_s: float
    settled: ApprovalSettled | None = None
    settled_at_s: float | None = None
    ending: Verdict | None = None


@dataclass
class _Link:
    """One execution's ballot, as it went."""

    ballot: Ballot
    asked: dict[str, _Asked] = field(default_factory=dict[str, _Asked])
    seen: dict[str, tuple[float, Vote]] = field(default_factory=dict[str, tuple[float, Vote]])
    unreadable: list[StoryVote] = field(default_factory=list[StoryVote])
    keys: dict[str, str] = field(default_factory=dict[str, str])


def tell_votes(facts: Sequence[Fact], *, over: bool) -> VotesTold:
    """Follow every request and vote. `over`: the run has ended, so what is open will stay so.

    Raises:
        ValidationError: a recorded value has another form than this version's.
    """
    told = VotesTold()
    link: _Link | None = None
    for _, step in sorted(_steps(facts), key=lambda step: step[0]):
        if isinstance(step, LinkStarted):
            if link is not None:
                _finish(link, told, over=True)
            request = RunRequest.model_validate(step.input)
            link = _Link(Ballot(request.tenant, request.run_id, request.carried))
        elif link is not None:
            _follow(link, step, told)
    if link is not None:
        _finish(link, told, over=over)
    return told


def _steps(facts: Sequence[Fact]) -> list[tuple[tuple[int, int, int], Fact | str]]:
    """What concerns votes, at its place: an approval's asking stands at its scheduling and again at its end."""
    steps: list[tuple[tuple[int, int, int], Fact | str]] = []
    for fact in facts:
        if isinstance(fact, Activity) and fact.name in (OPEN_APPROVAL.name, OPEN_RAISE.name):
            steps.append(((fact.link, fact.scheduled_event, 0), "expect"))
            if fact.state != "open":
                steps.append(((fact.link, fact.event, 1), fact))
        elif isinstance(fact, LinkStarted | Signal | Activity):
            steps.append(((fact.link, fact.event, 1), fact))
    return steps


def _follow(link: _Link, step: Fact | str, told: VotesTold) -> None:
    match step:
        case str():
            link.ballot.expect()
        case Signal(name="vote"):
            _vote(link, step)
        case Activity(name=PIN_AGENT.name, state="done"):
            pinned = Pinned.model_validate(step.result)
            link.keys = pinned.agent.vote_keys
            link.ballot.admit(pinned.agent.vote_keys, pinned.interested)
        case Activity(name=OPEN_APPROVAL.name):
            opened = None if step.state == "failed" else ApprovalOpened.model_validate(step.result)
            link.ballot.open(opened, step.at_s)
            if opened is not None:
                link.asked[opened.request_id] = _Asked(OpenApproval.model_validate(step.input), opened, step.at_s)
        case Activity(name=SETTLE_APPROVAL.name, state="done"):
            _settled(link, step, told)
        case Activity(name=OPEN_RAISE.name):
            _raise_opened(link, step)
        case Activity(name=SETTLE_RAISE.name, state="done"):
            settled = RaiseSettled.model_validate(step.result)
            _raise_settled(link, settled, step.at_s, told)
        case _:
            pass


def _vote(link: _Link, signal: Signal) -> None:
    signed = SignedVote.model_validate(signal.input)
    vote = read_vote(signed, link.keys)
    if isinstance(vote, Vote):
        link.seen.setdefault(vote.decision_id, (signal.at_s, vote))
    else:
        link.unreadable.append(
            StoryVote(
                at_s=signal.at_s, person="", display_name="", verdict=None, reason="", counted=False, refusal=vote.value
            )
        )
    link.ballot.receive(signed, signal.at_s)


def _settled(link: _Link, fact: Activity, told: VotesTold) -> None:
    settled = ApprovalSettled.model_validate(fact.result)
    asked = link.asked.get(settled.request_id)
    if asked is None or isinstance(asked.about, OpenRaise):
        return
    asked.settled, asked.settled_at_s = settled, fact.at_s
    if settled.state == "granted" and link.ballot.verdict(settled.request_id) == "granted":
        key = (asked.about.step, asked.about.call)
        told.grants.setdefault(key, []).append(link.ballot.grant(settled.request_id))
    ending = link.ballot.ending(settled.request_id) if settled.state == "voided" else None
    if ending is not None:
        asked.ending = ending.verdict
        if ending.edited is not None:
            told.edits[settled.request_id] = Edit(asked.about.step, asked.about.call, ending.edited)
    link.ballot.close(settled.request_id)


def _raise_opened(link: _Link, fact: Activity) -> None:
    opened = None if fact.state == "failed" else RaiseOpened.model_validate(fact.result).opened
    link.ballot.open(opened, fact.at_s)
    if opened is not None:
        link.asked[opened.request_id] = _Asked(OpenRaise.model_validate(fact.input), opened, fact.at_s)


def _raise_settled(link: _Link, settled: RaiseSettled, at_s: float, told: VotesTold) -> None:
    asked = link.asked.get(settled.request_id)
    if asked is None:
        return
    people = [f"{vote.display_name} {_SAID[vote.verdict]}" for _, vote in link.seen.values()
              if vote.request_id == settled.request_id]  # fmt: skip
    what = f"raised by {settled.by}" if settled.granted else "not raised"
    said = "; ".join([*people, settled.refusal] if settled.refusal else people) or "nobody decided"
    text = f"step {asked.about.step}: limit {settled.limit} {what}: {said}"
    told.raises.append(Note(at_s=at_s, text=text[:500]))
    link.ballot.close(settled.request_id)


def _finish(link: _Link, told: VotesTold, *, over: bool) -> None:
    """Turn what was followed into the story, with the ballot's last answer to every vote."""
    votes: dict[str, list[StoryVote]] = {}
    for decision_id, (at_s, vote) in link.seen.items():
        answer = link.ballot.answer(decision_id)
        refusal = answer.refusal.value if isinstance(answer, VoteRefused) else _NEVER_JUDGED
        counted = isinstance(answer, VoteAccepted)
        entry = StoryVote(
            at_s=at_s,
            person=vote.person,
            display_name=vote.display_name,
            for_name=vote.delegated.display_name if vote.delegated else "",
            verdict=vote.verdict,
            reason=vote.reason,
            counted=counted,
            refusal="" if counted else refusal,
        )
        if vote.request_id in link.asked:
            votes.setdefault(vote.request_id, []).append(entry)
        else:
            told.strays.append(entry)
    told.strays.extend(link.unreadable)
    for request_id, asked in link.asked.items():
        if isinstance(asked.about, OpenRaise):
            continue
        told.approvals.setdefault((asked.about.step, asked.about.call), []).append(
            StoryApproval(
                request_id=request_id,
                requirement=asked.opened.requirement,
                opened_at_s=asked.opened_at_s,
                expires_at_s=asked.opened.expires_at,
                escalations=tuple(
                    one
                    for one in asked.opened.escalations
                    if asked.settled_at_s is None or one.at <= asked.settled_at_s
                ),
                votes=tuple(votes.get(request_id, ())),
                state=asked.settled.state if asked.settled else ("abandoned" if over else "open"),
                closed_at_s=asked.settled_at_s,
                ending=asked.ending,
                problem=asked.settled.revised.problem if asked.settled and asked.settled.revised else "",
            )
        )
