"""One tool call through the gate: by reference in, what became of it out."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.base import Digest, JsonObject, Record, RunId, TenantId, ToolName, is_empty, is_none
from contracts.decision import DecisionRecord, Requirement
from contracts.vote import Grant

__all__ = ["CallHead", "CallOutput", "CallResult", "CallStatus", "EffectState", "ExecuteTool", "ResultControl"]


class ExecuteTool(Record):
    """Input of the `execute_tool` activity: authorization and execution are one."""

    tenant: TenantId
    run_id: RunId
    definition: Digest
    """Digest of the pinned agent."""
    step: int = Field(ge=1)
    call: int = Field(ge=0)
    """Position within the step's proposal."""
    visit: int = Field(ge=1)
    """Attempt of the workflow at the same call: before and after a grant."""
    tool: ToolName
    arguments_digest: Digest
    """Digest of the canonical arguments that the proposal carried, or of those to which people edited them."""
    revision: int = Field(default=0, ge=0, exclude_if=is_empty)
    """How often people edited the call."""
    grant: Grant | None = None
    """Approvals held."""


class CallStatus(StrEnum):
    """What became of a visit."""

    RAN = "ran"
    FAILED = "failed"
    """The tool or its service said no, for good; no effect."""
    REFUSED = "refused"
    """Not a call that this agent can make: unlisted tool, changed schema, duplicate of a deed in flight."""
    DENIED = "denied"
    """By policy."""
    RETRY_AFTER = "retry_after"
    """Not now: another step must complete first, or a rate limit; costs no quota."""
    NEEDS_CHECK = "needs_check"
    """A second model or a deterministic check must look first."""
    NEEDS_APPROVAL = "needs_approval"
    HALTED = "halted"
    """A kill switch or a disabled agent."""
    LIMIT_REACHED = "limit_reached"
    UNKNOWN = "unknown"
    """A write of which it is not known whether it happened."""


class EffectState(StrEnum):
    """State of a write in the effects ledger."""

    PREPARED = "prepared"
    """Admitted, not yet sent."""
    IN_FLIGHT = "in_flight"
    """Perhaps sent, under a lease."""
    SUCCEEDED = "succeeded"
    FAILED_FINAL = "failed_final"
    """Refused before it was sent, or explicitly rejected: no effect."""
    UNKNOWN = "unknown"
    """Lease lapsed or answer ambiguous: nobody may send it again blindly."""
    ABANDONED = "abandoned"
    """A person closed it without knowing."""


class ResultControl(Record):
    """What the loop branches on."""

    status: CallStatus
    told: bool = Field(default=True, exclude_if=bool)
    """True when the answer to the model has been written to the transcript: the call is settled."""
    retry_after_s: float | None = Field(default=None, ge=0, le=86_400, exclude_if=is_none)
    requirement: Requirement | None = Field(default=None, exclude_if=is_none)
    """Of `needs_approval`."""
    checks: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """Of `needs_check`: which."""
    limit: str = Field(default="", exclude_if=is_empty)
    """Of `limit_reached`."""
    effect: EffectState | None = Field(default=None, exclude_if=is_none)
    """State in the ledger, for writes."""
    policies: tuple[str, ...] = ()
    """Ids of the determining policies."""
    output_digest: str = Field(default="", max_length=16, exclude_if=is_empty)
    """First 16 hexadecimal digits of the output's digest: enough to tell news from what was known in one run."""
    fault: Literal["", "rejected", "not_sent", "ambiguous"] = Field(default="", exclude_if=is_empty)
    """Of a call that did not run: what is known of it. `rejected` is a clear answer, the others are not."""
    cached: bool = Field(default=False, exclude_if=is_empty)
    """Whether the output was served again instead of asking the service."""


class CallOutput(Record):
    """The part that may hold personal data."""

    arguments: JsonObject
    """Canonical arguments, echoed: local activities record results, not inputs."""
    output: JsonObject | None = None
    """What the tool returned."""
    message: str = Field(default="", exclude_if=is_empty)
    """What the model is told when there is no output."""
    decision: DecisionRecord | None = None
    """The decision of this visit with its whole request; None when it was refused before policy was asked."""


class CallResult(Record):
    """Result of the `execute_tool` activity."""

    step: int
    call: int
    visit: int
    tool: ToolName
    arguments_digest: Digest
    revision: int = Field(default=0, exclude_if=is_empty)
    """How often people edited the call."""
    input_digest: Digest
    """Digest of the activity's input: Temporal's replay does not compare inputs, ours does."""
    control: ResultControl
    content: CallOutput


class CallWords(BaseModel):
    """The one part of a call's content that a run may pass on."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    message: str = ""
    """See `CallOutput.message`."""


class CallHead(BaseModel):
    """A `CallResult` as the run reads it: what it branches on. The rest is for people who read the history."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    step: int
    call: int
    visit: int
    tool: ToolName
    arguments_digest: Digest
    control: ResultControl
    content: CallWords
