"""Typed stubs of the activities that a run calls: their names, inputs and results. The workflow knows only these."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from pydantic import Field

from contracts.agent import PinnedAgent
from contracts.approval import Escalation
from contracts.base import Digest, JsonObject, Record, RunId, TenantId, ToolName, is_empty
from contracts.call import CallResult, ExecuteTool
from contracts.check import CheckResult, RunCheck
from contracts.decision import Requirement
from contracts.event import RunRequest
from contracts.notice import NoticesSent, SendNotices
from contracts.outcome import Outcome, OutcomeReason, RunReport
from contracts.turn import CallModel, ModelTurn
from contracts.vote import PLAIN_CHOICES, Verdict

__all__ = [
    "CALL_MODEL",
    "CLOSE_RUN",
    "ENGINE_FAULT",
    "EXECUTE_TOOL",
    "LEASE_HELD",
    "MODEL_REJECTED",
    "MODEL_UNAVAILABLE",
    "NOTICE_NOT_SENT",
    "NOT_ADMITTED",
    "OPEN_APPROVAL",
    "PIN_AGENT",
    "RUN_CHECK",
    "SEND_NOTICES",
    "SETTLE_APPROVAL",
    "STORE_DOWN",
    "TAKEN_OVER",
    "ActivityStub",
    "ApprovalOpened",
    "ApprovalSettled",
    "ApprovalState",
    "CloseRun",
    "OpenApproval",
    "Pinned",
    "Revised",
    "SettleApproval",
]

InT = TypeVar("InT")
OutT = TypeVar("OutT")

# Types of the application errors that activities raise. Everything else that can go wrong is a result, not an error.
STORE_DOWN = "StoreDown"
"""The database cannot be reached: retried for `store_wait_s`."""
MODEL_UNAVAILABLE = "ModelUnavailable"
"""No answer from the provider for now: retried, with its retry-after."""
MODEL_REJECTED = "ModelRejected"
"""The provider will never answer this request: not retried."""
NOT_ADMITTED = "NotAdmitted"
"""The run has no matching inbox or parent row, or its definition is invalid: not retried."""
LEASE_HELD = "LeaseHeld"
"""An earlier attempt may still be sending: retried when its lease has lapsed."""
TAKEN_OVER = "TakenOver"
"""A later attempt works on the same step: retried, and then answered with what that one stored."""
NOTICE_NOT_SENT = "NoticeNotSent"
"""A channel did not take a notice: retried as long as the request is open."""
ENGINE_FAULT = "EngineFault"
"""A contradiction that only a fault of this software explains: not retried."""


def _is_plain(value: object) -> bool:
    return value == PLAIN_CHOICES


@dataclass(frozen=True)
class ActivityStub(Generic[InT, OutT]):
    """Name and types of an activity."""

    name: str
    takes: type[InT]
    returns: type[OutT]


class Pinned(Record):
    """Result of `pin_agent`: the definition, whole, as history's copy of it."""

    definition: Digest
    agent: PinnedAgent
    opened_at: int
    """When the run was opened, Unix seconds."""
    interested: tuple[str, ...] = Field(max_length=10)
    """Persons who may not approve: requester, represented user, the agent's owner where it names a person."""
    goal: str
    """The event in short, for a packet when the store is down."""
    event: JsonObject = Field(default_factory=dict)
    """The accepted event, whole: history alone tells what the run was about. Content."""


class OpenApproval(Record):
    """Input of `open_approval`."""

    tenant: TenantId
    run_id: RunId
    definition: Digest
    step: int = Field(ge=1)
    call: int = Field(ge=0)
    visit: int = Field(ge=1)
    """The visit that found the requirement."""
    tool: ToolName
    arguments_digest: Digest
    revision: int = Field(default=0, ge=0, exclude_if=is_empty)
    """How often people edited the call."""
    requirement: Requirement


class ApprovalOpened(Record):
    """Result of `open_approval`: what a vote must match."""

    request_id: str
    digest: Digest
    """Digest of the `ApprovalBasis`."""
    requirement: Requirement
    tier: int
    opened_at: int
    """Unix seconds."""
    sla_at: int
    """Unix seconds."""
    expires_at: int
    """Unix seconds."""
    escalations: tuple[Escalation, ...] = Field(default=(), max_length=25, exclude_if=is_empty)
    """Who else may decide, and from when."""
    choices: tuple[Verdict, ...] = Field(default=PLAIN_CHOICES, exclude_if=_is_plain)
    """What may be said to it."""
    editors: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """Persons who wrote these arguments or a part of them."""
    interested: tuple[str, ...] = Field(default=(), max_length=50, exclude_if=is_empty)
    """Persons who may not decide: those of the run, with whoever their accounts belong to."""


ApprovalState = Literal["granted", "denied", "expired", "voided"]


class SettleApproval(Record):
    """Input of `settle_approval`."""

    tenant: TenantId
    run_id: RunId
    definition: Digest
    request_id: str
    step: int = Field(ge=1)
    call: int = Field(ge=0)
    tool: ToolName
    arguments_digest: Digest
    revision: int = Field(default=0, ge=0, exclude_if=is_empty)
    """How often people had edited the call when it was asked."""
    state: ApprovalState
    decision_ids: tuple[str, ...] = Field(max_length=20)
    """Accepted votes, in the order in which they were counted."""
    ending: Verdict | None = Field(default=None, exclude_if=is_empty)
    """Of a voided request: what ended it, if an approver did."""
    edited: Digest | None = Field(default=None, exclude_if=is_empty)
    """Of an edit: digest of the arguments, as the vote names it."""


class Revised(Record):
    """A call as an approver edited it."""

    revision: int = Field(ge=1)
    arguments_digest: Digest
    """Of the arguments that hold now: the edited ones, or those before where they cannot be used."""
    problem: str = Field(default="", max_length=500, exclude_if=is_empty)
    """Why the edit cannot be used; empty when it can. Holds no value of an argument."""


class ApprovalSettled(Record):
    """Result of `settle_approval`."""

    request_id: str
    state: ApprovalState
    revised: Revised | None = Field(default=None, exclude_if=is_empty)
    """Of an edit."""


class CloseRun(Record):
    """Input of `close_run`."""

    tenant: TenantId
    run_id: RunId
    definition: Digest
    outcome: Outcome
    reason: OutcomeReason
    detail: str = Field(default="", max_length=500)
    """Which limit, which fault: no personal data."""
    last_step: int = Field(ge=0)


PIN_AGENT = ActivityStub("pin_agent", RunRequest, Pinned)
CALL_MODEL = ActivityStub("call_model", CallModel, ModelTurn)
EXECUTE_TOOL = ActivityStub("execute_tool", ExecuteTool, CallResult)
OPEN_APPROVAL = ActivityStub("open_approval", OpenApproval, ApprovalOpened)
RUN_CHECK = ActivityStub("run_check", RunCheck, CheckResult)
SETTLE_APPROVAL = ActivityStub("settle_approval", SettleApproval, ApprovalSettled)
CLOSE_RUN = ActivityStub("close_run", CloseRun, RunReport)
SEND_NOTICES = ActivityStub("send_notices", SendNotices, NoticesSent)
