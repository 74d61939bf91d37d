"""Operator commands to a run: pause, resume, end, hand over, resolve a doubt. Signed by the approvals service."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from contracts.base import Record, RunId, TenantId

__all__ = [
    "Command",
    "CommandAccepted",
    "CommandAnswer",
    "CommandPending",
    "CommandRefusal",
    "CommandRefused",
    "EndRun",
    "HandOver",
    "OperatorRole",
    "Order",
    "Pause",
    "ResolveUnknown",
    "Resume",
    "SignedCommand",
]

OperatorRole = Literal["view", "approve", "kill", "undo", "administer"]


class Pause(Record):
    """Start nothing new; what is under way comes to its end. The run waits until somebody resumes or ends it."""

    kind: Literal["pause"] = "pause"


class Resume(Record):
    """Go on. The gate decides everything afresh."""

    kind: Literal["resume"] = "resume"
    because: Literal["operator", "released"] = "operator"
    """`released`: what halted the run holds no more. That does not undo an operator's pause."""
    pause: int | None = Field(default=None, ge=1)
    """Of `released`: which of the run's pauses is over."""


class EndRun(Record):
    """End now, as cancelled. A write that is under way comes to its end first."""

    kind: Literal["end"] = "end"


class HandOver(Record):
    """End now, as escalated, with a packet: a person goes on."""

    kind: Literal["hand_over"] = "hand_over"


class ResolveUnknown(Record):
    """A person has closed a doubt in the ledger: look at the call again. The ledger says how, not this message."""

    kind: Literal["resolve_unknown"] = "resolve_unknown"
    step: int = Field(ge=1)
    call: int = Field(ge=0)


Order = Annotated[Pause | Resume | EndRun | HandOver | ResolveUnknown, Field(discriminator="kind")]


class Command(Record):
    """The signed statement."""

    tenant: TenantId
    run_id: RunId
    """Also the Temporal workflow id."""
    command_id: str = Field(pattern=r"^cmd-[a-z2-7]{26}$")
    """Unique per command; makes redelivery harmless."""
    order: Order
    """What to do."""
    reason: str = Field(max_length=2_000)
    """Why, in the operator's words; recorded, and required."""
    issuer: str = Field(max_length=200)
    """Who vouches for the operator's identity: `local` or an OIDC issuer; `countersign` for the service itself."""
    subject: str = Field(max_length=200)
    """The operator, as the issuer names them."""
    person: str = Field(max_length=200)
    """The human being behind it: of a resume after a release, whoever released."""
    display_name: str = Field(max_length=200)
    roles: tuple[OperatorRole, ...] = Field(max_length=5)
    """Operator roles when the command was given."""
    authenticated_at: int = Field(ge=0)
    """When the operator last proved who they are, Unix seconds."""
    strength: Literal["password", "multi_factor", "service"]
    """How. `service`: the approvals service acts by itself; only a resume after a release may."""
    issued_at: int = Field(ge=0)
    """Unix seconds."""
    expires_at: int = Field(ge=0)
    """After this the command is worthless, Unix seconds."""


class SignedCommand(Record):
    """A command as carried by the signal."""

    jws: str = Field(max_length=16_384)
    """Compact JWS (Ed25519) whose payload is the command's canonical JSON."""


class CommandRefusal(StrEnum):
    """Why a run does not obey a command."""

    BAD_SIGNATURE = "bad_signature"
    UNKNOWN_KEY = "unknown_key"
    MALFORMED = "malformed"
    WRONG_RUN = "wrong_run"
    EXPIRED = "expired"
    NOT_ALLOWED = "not_allowed"
    """The operator's roles do not cover it."""
    REASON_MISSING = "reason_missing"
    STALE_SIGN_IN = "stale_sign_in"
    """The operator signed in too long before the command."""
    NOT_PAUSED = "not_paused"
    """A resume of a run, or of a pause, that is over."""
    ALREADY_PAUSED = "already_paused"
    NOT_IN_DOUBT = "not_in_doubt"
    """The run does not wait for that call."""
    ENDING = "ending"
    """The run is ending or has ended."""


class CommandAccepted(Record):
    """The run obeys."""

    kind: Literal["accepted"] = "accepted"


class CommandRefused(Record):
    """The run does not obey; nothing changed."""

    kind: Literal["refused"] = "refused"
    refusal: CommandRefusal


class CommandPending(Record):
    """The run has not seen the command."""

    kind: Literal["pending"] = "pending"


CommandAnswer = Annotated[CommandAccepted | CommandRefused | CommandPending, Field(discriminator="kind")]
