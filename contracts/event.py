"""What starts a run."""

from typing import Annotated, Literal

from pydantic import Field

from contracts.base import AgentName, Digest, Record, RunId, TenantId, UserName

__all__ = ["EventOrigin", "Origin", "ParentOrigin", "RunRequest"]


class EventOrigin(Record):
    """The run was started by an accepted event: there is an inbox row of this key and digest."""

    kind: Literal["event"] = "event"
    endpoint: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    """The endpoint that accepted it."""
    event_id: str = Field(min_length=1, max_length=200)
    """The sender's id of the event, unique within tenant and endpoint."""
    body_digest: Digest
    """SHA-256 of the body as accepted."""


class ParentOrigin(Record):
    """The run was started by another run."""

    kind: Literal["parent"] = "parent"
    run_id: RunId
    """The parent."""
    step: int = Field(ge=1)
    """The parent's step."""
    call: int = Field(ge=0)
    """Position of the call within the step."""


Origin = Annotated[EventOrigin | ParentOrigin, Field(discriminator="kind")]


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
