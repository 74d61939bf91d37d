"""One step's model call: by reference in, the validated proposal out."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.base import Digest, JsonObject, Micros, Record, RunId, TenantId, ToolName, is_empty, is_none
from contracts.call import CallHead, CallResult
from contracts.outgoing import Redaction

__all__ = [
    "CallContent",
    "CallControl",
    "CallModel",
    "Calls",
    "Finish",
    "Halted",
    "LimitMet",
    "Malformed",
    "ModelTurn",
    "TurnContent",
    "TurnControl",
    "TurnHead",
]


class CallModel(Record):
    """Input of the `call_model` activity."""

    tenant: TenantId
    run_id: RunId
    definition: Digest
    """Digest of the pinned agent; the definition itself is read from the store."""
    step: int = Field(ge=1)
    role: str = "plan"
    """Which entry of the definition's models answers."""
    ahead: int = Field(default=0, ge=0, le=16, exclude_if=is_empty)
    """How many of the next steps may be taken as well, while each asks for short reads alone and learns something."""


class CallControl(Record):
    """What the loop may know of a proposed call."""

    tool: ToolName
    arguments_digest: Digest
    """Digest of the canonical arguments, after validation and defaults."""
    revision: int = Field(default=0, ge=0, exclude_if=is_empty)
    """How often people edited it since it was proposed: then the digest is that of the edited arguments."""


class CallContent(Record):
    """The rest of a proposed call."""

    call_id: str
    """The provider's id of the call."""
    arguments: JsonObject
    """Canonical arguments."""
    why: str
    """The reason that the model gave; unverified."""


class Calls(Record):
    """The model proposed tool calls; all of them are well formed."""

    kind: Literal["calls"] = "calls"
    calls: tuple[CallControl, ...] = Field(min_length=1, max_length=64)


class Finish(Record):
    """The model says that the job is done, or that a person must go on."""

    kind: Literal["finish"] = "finish"
    result: Literal["done", "hand_over"]


class Malformed(Record):
    """The answer could not be used; the model was told precisely why."""

    kind: Literal["malformed"] = "malformed"
    problem: Literal[
        "bad_json", "bad_arguments", "unknown_tool", "no_call", "too_large", "two_finishes", "mixed_finish",
        "truncated", "refusal",
    ]  # fmt: skip
    """The first problem found."""


class LimitMet(Record):
    """The next call would pass a limit; no call was made."""

    kind: Literal["limit_reached"] = "limit_reached"
    limit: str
    """Name of the limit, such as `tokens`."""


class Halted(Record):
    """A kill switch holds, or the agent is disabled; no call was made."""

    kind: Literal["halted"] = "halted"
    by: str = Field(max_length=300)
    """What halts it, such as `agent:support_refund`."""


TurnControl = Annotated[Calls | Finish | Malformed | LimitMet | Halted, Field(discriminator="kind")]


class TurnContent(Record):
    """What the model said, whole."""

    text: str = ""
    calls: tuple[CallContent, ...] = ()
    """In the order of `Calls.calls`."""
    summary: str = Field(default="", exclude_if=is_empty)
    """Of a finish."""
    needed: str = Field(default="", exclude_if=is_empty)
    """What a person must do, of a hand-over."""
    corrections: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """What the model was told about a malformed answer."""
    redactions: tuple[Redaction, ...] = Field(default=(), exclude_if=is_empty)
    """What output rules replaced in the answer before it was stored; the arguments above are the replaced ones."""


class ModelTurn(Record):
    """Result of the `call_model` activity."""

    control: TurnControl
    content: TurnContent
    served_model: str
    """Identity of the model that answered; empty when none was called."""
    tokens: int = Field(ge=0)
    """Tokens settled for this step, lost attempts included."""
    micros: Micros
    """Cost settled for this step in micro-dollars, lost attempts included."""
    transcript_digest: Digest
    """Digest over the messages that the model was shown: proves which input this answer belongs to."""
    visits: tuple[CallResult, ...] = Field(default=(), exclude_if=is_empty)
    """First visits of short reads among the calls, made by the same activity: see `activities.first_reads`."""
    took_ms: int | None = Field(default=None, ge=0, exclude_if=is_none)
    """How long the turn took with its visits, where one activity took several."""
    then: tuple["ModelTurn", ...] = Field(default=(), exclude_if=is_empty)
    """Turns of the next steps, made by the same activity: see `activities.turns`."""


class TurnHead(BaseModel):
    """A `ModelTurn` as the run reads it: what it branches on, and what it counts."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    control: TurnControl
    tokens: int
    micros: Micros
    visits: tuple[CallHead, ...] = ()
    then: tuple["TurnHead", ...] = ()
