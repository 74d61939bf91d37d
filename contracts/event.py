"""What starts a run."""

from typing import Annotated, Literal

from pydantic import Field

from contracts.base import AgentName, Digest, JsonObject, Record, RunId, TenantId, UserName
from contracts.canonical import digest
from contracts.command import CommandAnswer
from contracts.loops import LoopState
from contracts.pause_state import OpenPause, Who
from contracts.vote import VoteAnswer

__all__ = ["AcceptedEvent", "EventOrigin", "Origin", "ParentOrigin", "RunRequest", "UndoOrigin"]


class AcceptedEvent(Record):
    """An event as the inbox row holds it, in canonical JSON. Extension attributes and headers are left out."""

    id: str = Field(pattern=r"^[!-~]{1,100}$")
    """The sender's id, unique within its source."""
    source: str = Field(min_length=1, max_length=100)
    """The CloudEvents source; one of those that the endpoint lists."""
    type: str = Field(min_length=1, max_length=100)
    """The CloudEvents type; one of those that the endpoint routes."""
    subject: str | None = Field(default=None, max_length=500)
    """What it is about, in the sender's words. Untrusted."""
    time: str | None = Field(default=None, max_length=40)
    """When it happened, by the sender's clock: RFC 3339 in UTC."""
    data: JsonObject
    """The payload. Untrusted, except for the fields named in `trusted`."""
    trusted: tuple[str, ...] = ()
    """Fields of `data` that the endpoint's configuration declared trusted when the event was accepted."""

    @property
    def key(self) -> str:
        """What makes it the same event again: source and id. A source holds no `#`, so the key splits in one way."""
        return f"{self.source}#{self.id}"

    @property
    def body_digest(self) -> str:
        """Digest of what the sender said. A redelivery has the same one, whatever its headers or our configuration."""
        return digest(self.model_dump(mode="json", exclude={"trusted"}))


class EventOrigin(Record):
    """The run was started by an accepted event: there is an inbox row of this key and digest."""

    kind: Literal["event"] = "event"
    endpoint: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    """The endpoint that accepted it."""
    event_id: str = Field(min_length=1, max_length=200)
    """Key of the event, `AcceptedEvent.key`: unique within tenant and endpoint."""
    body_digest: Digest
    """`AcceptedEvent.body_digest` of the event as accepted."""


class ParentOrigin(Record):
    """The run was started by another run."""

    kind: Literal["parent"] = "parent"
    run_id: RunId
    """The parent."""
    step: int = Field(ge=1)
    """The parent's step."""
    call: int = Field(ge=0)
    """Position of the call within the step."""


class UndoOrigin(Record):
    """The run undoes another: there is an order of an operator, whose row vouches for it."""

    kind: Literal["undo"] = "undo"
    run_id: RunId
    """The run that is undone."""
    plan_digest: Digest
    """Digest of the plan that the operator was shown."""


Origin = Annotated[EventOrigin | ParentOrigin | UndoOrigin, Field(discriminator="kind")]


class Carried(Record):
    """State of a long run that goes on in another Temporal execution. At most 64 KB."""

    step: int = Field(ge=0)
    """Last completed step."""
    malformed: int = Field(ge=0)
    """Malformed answers in a row."""
    waited_s: float = Field(ge=0)
    """Time spent waiting for people so far, in seconds."""
    decisions: dict[str, VoteAnswer] = Field(max_length=500)
    """Newest answers to votes, by decision id: a vote that is delivered again changes nothing."""
    refused_votes: int = Field(ge=0)
    notes: int = Field(default=0, ge=0)
    """Notes to the model and raises of limits so far."""
    drafting: bool = False
    """Whether the run goes on with drafts alone."""
    more_active_s: int = Field(default=0, ge=0)
    """By how much people raised the limit of active time, in seconds."""
    loops: LoopState | None = None
    """What is remembered of the steps."""
    commands: dict[str, CommandAnswer] = Field(default_factory=dict[str, CommandAnswer], max_length=200)
    """Newest answers to operators' commands, by command id."""
    refused_commands: int = Field(default=0, ge=0)
    pauses: int = Field(default=0, ge=0)
    """Pauses so far."""
    pause: OpenPause | None = None
    """The pause that the run is in."""
    paused_by: Who | None = None
    """The operator whose pause holds."""


class RunRequest(Record):
    """Input of the `AgentRun` workflow. By itself it proves nothing: pinning refuses it without a matching row."""

    tenant: TenantId
    run_id: RunId
    """Also the workflow id; derived from the origin."""
    agent: AgentName
    origin: Origin
    on_behalf_of: UserName | None = None
    """The user whose permissions bound the run's, if any."""
    store_wait_s: int = Field(default=300, ge=1, le=86_400)
    """How long the run waits for a store that is down before it ends as failed_safe, in seconds."""
    model_wait_s: int = Field(default=300, ge=1, le=86_400)
    """How long one step waits for a model that cannot be had before the agent's fallback, in seconds."""
    carried: Carried | None = None
    """Set by the run itself when it continues as new."""
