"""What an approver is shown, as canonical data: the page is rendered from it and the vote is bound to its digest."""

from typing import Literal

from pydantic import Field

from contracts.agent import Stage
from contracts.base import Digest, JsonObject, Record, RunId, TenantId
from contracts.decision import Reason, Requirement

__all__ = ["ApprovalBasis", "ApprovalView", "EvidenceItem"]


class EvidenceItem(Record):
    """A completed call that the proposal rests on."""

    step: int
    call: int
    tool: str
    label: Literal["trusted", "untrusted"]
    """`untrusted` when any field of the output is untrusted content."""
    output: JsonObject
    """The recorded output."""


class ApprovalView(Record):
    """Everything on the page that is bound by the vote. What moves (time left, votes) is left out."""

    tenant: TenantId
    run_id: RunId
    agent: str
    agent_version: int
    agent_owner: str
    stage: Stage
    tool: str
    tool_version: int
    tool_description: str
    tier: int
    arguments: JsonObject
    """Canonical arguments, in full."""
    provenance: dict[str, JsonObject]
    """Per argument: label (`trusted`, `event`, `untrusted`, `model`) and source position."""
    before: JsonObject | None
    """State of the target before, where the tool has a preview."""
    after: JsonObject | None
    resource_type: str
    resource_id: str
    resource_version: str
    reversible_by: str
    """Tool that undoes it; empty: cannot be undone."""
    customer_visible: bool
    money_minor: int | None
    """Amount moved in minor units."""
    currency: str | None
    asked_by: str
    """The agent, and the event that started the run."""
    on_behalf_of: str | None
    requirement: Requirement
    reasons: tuple[Reason, ...]
    """Policies that ask for the approval."""
    bundle_digest: Digest
    model_reason: str = Field(max_length=2_000)
    """The model's own words; never verified."""
    served_model: str
    evidence: tuple[EvidenceItem, ...] = Field(max_length=100)


class ApprovalBasis(Record):
    """What an approval holds for. It is void as soon as any part differs."""

    tenant: TenantId
    run_id: RunId
    step: int
    call: int
    tool: str
    tool_version: int
    schema_digest: Digest
    arguments_digest: Digest
    resource_version: str
    requirement: Requirement
    policies: tuple[str, ...]
    """Ids of the determining policies, sorted."""
    view_digest: Digest
