"""Entries of the audit chain: one body per kind, hashed as its JSON text stands."""

from typing import Literal

from pydantic import Field

from contracts.base import AgentName, Digest, GroupName, JsonObject, Micros, Record, ToolName, UserName, is_empty
from contracts.call import CallStatus, EffectState
from contracts.decision import DecisionRecord
from contracts.event import Origin
from contracts.model import StopReason, Usage
from contracts.outcome import Outcome, OutcomeReason, RunTotals
from contracts.outgoing import Redaction
from contracts.run_activities import ApprovalState
from contracts.vote import Verdict

__all__ = [
    "ApprovalAsked",
    "ApprovalClosed",
    "ApprovalEscalated",
    "CallDecided",
    "CallEdited",
    "CallFinished",
    "CheckMade",
    "EffectDoubted",
    "EffectResolved",
    "ModelReplied",
    "RunClosed",
    "RunOpened",
]


class RunOpened(Record):
    """First entry of a run."""

    agent: AgentName
    definition: Digest
    origin: Origin
    on_behalf_of: UserName | None


class ModelReplied(Record):
    """An answer of a model was settled."""

    step: int
    control: str
    """Kind of the turn: calls, finish or malformed."""
    stop: StopReason = Field(default=StopReason.TOOL_CALLS, exclude_if=lambda stop: stop is StopReason.TOOL_CALLS)
    """Why the model stopped."""
    stop_detail: str = Field(default="", exclude_if=is_empty)
    """The provider's word for it, where that says more."""
    answer_digest: Digest
    """Digest of the assistant's message as stored."""
    transcript_digest: Digest
    """Digest of the messages that it answers."""
    served_model: str
    request_id: str
    """The provider's id of the request."""
    usage: Usage
    tokens: int
    """Settled for the step, lost attempts included."""
    micros: Micros
    shrunk: bool = Field(default=False, exclude_if=is_empty)
    """Whether this answer, malformed as one before it, took half of what the run's limits had left."""
    redactions: tuple[Redaction, ...] = Field(default=(), exclude_if=is_empty)
    """What output rules replaced in the answer."""


class CheckMade(Record):
    """A check of a call gave its verdict."""

    step: int
    call: int
    tool: ToolName
    check: str
    passed: bool
    reason: str
    arguments_digest: Digest
    served_model: str
    """Empty where a function decided."""
    tokens: int
    micros: Micros


class CallDecided(Record):
    """A visit of a call was decided: admitted, or settled without running."""

    step: int
    call: int
    visit: int
    tool: ToolName
    arguments_digest: Digest
    verdict: Literal["admitted", "settled"]
    status: CallStatus | None = Field(default=None, exclude_if=is_empty)
    """Of a settled visit."""
    message: str = Field(default="", exclude_if=is_empty)
    """What the model was told, of a settled visit."""
    decision: DecisionRecord | None
    """None when it was settled before policy was asked."""
    evidence: dict[str, JsonObject]
    """Per argument: where its value was found in the recorded values."""


class CallFinished(Record):
    """An admitted call ended."""

    step: int
    call: int
    visit: int
    tool: ToolName
    status: CallStatus
    effect: EffectState | None = Field(default=None, exclude_if=is_empty)
    output_digest: Digest | None = Field(default=None, exclude_if=is_empty)
    error: str = Field(default="", exclude_if=is_empty)
    attempts: int = Field(default=1, exclude_if=lambda attempts: attempts == 1)
    cached_from: str = Field(default="", exclude_if=is_empty)
    """The run that read the output, where it was served again."""
    shrunk: bool = Field(default=False, exclude_if=is_empty)
    """Whether doubt about it took half of what the run's limits had left."""


class EffectDoubted(Record):
    """A lease lapsed: whether the write happened is not known."""

    step: int
    call: int
    visit: int


class EffectResolved(Record):
    """A doubt ended, or was confirmed."""

    step: int
    call: int
    visit: int
    tool: ToolName
    state: EffectState
    how: Literal["probe", "no_proof", "run_ended", "person"]
    """Who or what told. `run_ended`: nobody asks any more; what never left did not happen, of the rest nobody knows."""
    detail: str
    by: str = Field(default="", exclude_if=is_empty)
    """Of a person: who; a person's name as their account knows it."""
    said_twice: bool = Field(default=False, exclude_if=is_empty)
    """Of a person: that it did not happen was said although an earlier attempt's credential was still good."""


class ApprovalAsked(Record):
    """People were asked."""

    request_id: str
    step: int
    call: int
    visit: int
    tool: ToolName
    digest: Digest
    requirement: str
    """Id of the rung."""
    policies: tuple[str, ...]


class ApprovalEscalated(Record):
    """Those who were asked had not decided: another group may from now on."""

    request_id: str
    to: GroupName


class ApprovalClosed(Record):
    """An approval request ended."""

    request_id: str
    state: ApprovalState
    decision_ids: tuple[str, ...]
    by: tuple[str, ...]
    """Persons whose votes counted; of a delegate also for whom."""
    ending: Verdict | None = Field(default=None, exclude_if=is_empty)
    """What ended a voided request, if an approver did."""
    said: str = Field(default="", exclude_if=is_empty)
    """In the words of whoever ended it."""


class CallEdited(Record):
    """An approver changed a call's arguments."""

    step: int
    call: int
    revision: int
    tool: ToolName
    request_id: str
    decision_id: str
    by: str
    """The person."""
    changed: tuple[str, ...]
    """Names of the arguments."""
    arguments_digest: Digest
    """Of the arguments that hold now."""
    problem: str = Field(default="", exclude_if=is_empty)
    """Why the edit cannot be used."""


class RunClosed(Record):
    """Last entry of a run."""

    outcome: Outcome
    reason: OutcomeReason
    detail: str
    totals: RunTotals
