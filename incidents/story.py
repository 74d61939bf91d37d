"""A run as people ask about it: what was pinned, what the model proposed, what was decided, by whom, to what end."""

from typing import Literal

from pydantic import Field

from contracts.agent import PinnedAgent
from contracts.approval import Escalation
from contracts.base import Digest, JsonObject, Record
from contracts.call import CallStatus, EffectState
from contracts.decision import DecisionRecord, Requirement
from contracts.event import RunRequest
from contracts.outcome import RunReport
from contracts.run_activities import ApprovalState
from contracts.vote import Verdict
from incidents.facts import Fault

__all__ = [
    "Finding",
    "Note",
    "Story",
    "StoryApproval",
    "StoryCall",
    "StoryStep",
    "StoryTurn",
    "StoryVisit",
    "StoryVote",
]


class Finding(Record):
    """Something recorded that contradicts something else that is recorded."""

    link: int
    """Number of the execution within the run, from 1."""
    event: int
    """Id of the event that holds the contradicted value."""
    what: str
    """Which value, such as `arguments of step 2 call 0`."""
    recorded: str
    """The recorded digest or value."""
    found: str
    """What it should be by the rest of the history."""

    def in_words(self) -> str:
        """One sentence."""
        return f"{self.what}: recorded {self.recorded}, but the history's own content gives {self.found}"


class Note(Record):
    """Something that happened beside the steps."""

    at_s: float
    text: str


class StoryVote(Record):
    """A vote that reached the run."""

    at_s: float
    """When the run got it, Unix seconds."""
    person: str
    """As the signed vote says; empty for a forged one."""
    display_name: str
    for_name: str = ""
    """Of a delegate: for whom."""
    verdict: Verdict | None
    """None for one that cannot be read."""
    reason: str
    counted: bool
    refusal: str
    """Why the run did not count it."""


class StoryApproval(Record):
    """A request to people."""

    request_id: str
    requirement: Requirement
    opened_at_s: float
    expires_at_s: float
    escalations: tuple[Escalation, ...] = ()
    """Those whose time came before it was closed; of one that is not closed, all."""
    votes: tuple[StoryVote, ...] = ()
    """In the order in which they came, refused ones too."""
    state: ApprovalState | Literal["open", "abandoned"]
    """`abandoned`: the run ended before people did."""
    closed_at_s: float | None = None
    ending: Verdict | None = None
    """What ended a voided request, if an approver did."""
    problem: str = ""
    """Why an edit could not be used."""


class StoryVisit(Record):
    """One visit of the gate."""

    visit: int
    began_s: float
    ended_s: float | None
    local: bool
    """Ran as a local activity."""
    attempts: int
    fault: Fault | None
    """Of the activity, or of its last attempt that failed."""
    status: CallStatus | None
    """None while it is under way, and when the activity failed."""
    effect: EffectState | None = None
    limit: str = ""
    revision: int = 0
    """How often people had edited the call."""
    arguments: JsonObject = Field(default_factory=dict)
    """Of an edited call: what they edited it to."""
    decision: DecisionRecord | None = None
    message: str = ""
    """What the model was told when there is no output."""
    output: JsonObject | None = None
    granted_by: str = ""
    """The approval request whose grant was presented."""


class StoryCall(Record):
    """A proposed call and what became of it."""

    index: int
    tool: str
    why: str
    """The model's own words; never verified."""
    arguments: JsonObject
    arguments_digest: Digest
    visits: tuple[StoryVisit, ...] = ()
    approvals: tuple[StoryApproval, ...] = ()


class StoryTurn(Record):
    """A model call."""

    began_s: float
    ended_s: float | None
    attempts: int
    fault: Fault | None
    kind: Literal["thinking", "calls", "finish", "malformed", "limit_reached", "halted", "failed"]
    detail: str = ""
    """Of a finish its result, of a malformed answer the problem, of a limit its name."""
    text: str = ""
    summary: str = ""
    needed: str = ""
    corrections: tuple[str, ...] = ()
    served_model: str = ""
    tokens: int = 0
    micros: int = 0


class StoryStep(Record):
    """One turn of the loop."""

    number: int
    turns: tuple[StoryTurn, ...]
    """More than one when no model could be had and the run waited."""
    calls: tuple[StoryCall, ...] = ()


class Story(Record):
    """The whole run, from its history alone."""

    run_id: str
    request: RunRequest | None
    """None when the input is not readable as one."""
    workflow: str
    began_s: float
    ended_s: float | None
    """None while the run is open."""
    links: int
    """Temporal executions that it took."""
    events: int
    definition: Digest | None
    """None for a run that was not admitted."""
    pinned: PinnedAgent | None
    goal: str
    event: JsonObject
    """The accepted event, whole; empty for a run that was not admitted."""
    steps: tuple[StoryStep, ...]
    strays: tuple[StoryVote, ...] = ()
    """Votes that belong to no request that was known when they came."""
    notes: tuple[Note, ...] = ()
    ending: Literal["open", "reported", "failed", "timed_out", "terminated", "cancelled"] = "open"
    """How the workflow itself ended; `reported` is the only healthy way."""
    fault: Fault | None = None
    """Of a workflow that ended without a report."""
    report: RunReport | None = None
    missing: tuple[str, ...] = ()
    """What the history does not hold any more."""
    contradictions: tuple[str, ...] = ()
    """What its file says that the history denies."""
    findings: tuple[Finding, ...] = ()
    """Recorded values that contradict each other."""
