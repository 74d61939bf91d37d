"""What an approver is shown, as canonical data: the page is rendered from it and the vote is bound to its digest."""

from typing import Literal

from pydantic import Field, JsonValue

from contracts.agent import Stage
from contracts.base import Digest, GroupName, JsonObject, Record, RunId, TenantId, is_empty
from contracts.decision import Reason, Requirement
from contracts.vote import PLAIN_CHOICES, Verdict

__all__ = ["ApprovalBasis", "ApprovalView", "ArgumentChange", "Earlier", "Escalation", "EvidenceItem", "Moments"]


def _is_plain(value: object) -> bool:
    return value == PLAIN_CHOICES


class Escalation(Record):
    """From a moment on, members of another group may decide in place of those who were asked."""

    group: GroupName
    """The group that was asked: its seats may be taken."""
    to: GroupName
    """Whose members may take them as well. Nobody who could decide before loses that."""
    at: int = Field(ge=0)
    """Unix seconds."""


class Moments(Record):
    """When what happens to an open request, in Unix seconds; fixed when it is opened."""

    opened_at: int
    sla_at: int
    """When people are reminded."""
    expires_at: int
    escalations: tuple[Escalation, ...] = Field(default=(), max_length=25)
    """By their time; none at or after the expiry."""


class EvidenceItem(Record):
    """A completed call that the proposal rests on."""

    step: int
    call: int
    tool: str
    label: Literal["trusted", "untrusted"]
    """`untrusted` when any field of the output is untrusted content."""
    output: JsonObject
    """The recorded output."""


class ArgumentChange(Record):
    """An argument that a person changed; null where it is not given."""

    name: str
    before: JsonValue
    after: JsonValue


class Earlier(Record):
    """What an approver said before: of this call, or of an earlier one of the same tool in the run."""

    request_id: str = Field(pattern=r"^apr-[a-z2-7]{26}$")
    step: int
    verdict: Verdict
    """`deny`, `edit` or `ask`."""
    person: str
    display_name: str
    words: str = Field(max_length=2_000)
    """The reason, or the question."""
    changes: tuple[ArgumentChange, ...] = Field(default=(), max_length=100, exclude_if=is_empty)
    """Of an edit."""
    problem: str = Field(default="", max_length=500, exclude_if=is_empty)
    """Why an edit could not be used."""
    answer: str = Field(default="", max_length=2_000, exclude_if=is_empty)
    """Of a question: what the model has said since; never verified."""


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
    earlier: tuple[Earlier, ...] = Field(default=(), max_length=20, exclude_if=is_empty)
    """What approvers said before, oldest first."""


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
    choices: tuple[Verdict, ...] = Field(default=PLAIN_CHOICES, exclude_if=_is_plain)
    """What may be said to it."""
    editors: tuple[str, ...] = Field(default=(), max_length=20, exclude_if=is_empty)
    """Persons who wrote these arguments or a part of them."""
    view_digest: Digest
    escalations: tuple[Escalation, ...] = Field(default=(), max_length=25, exclude_if=is_empty)
    """Who else may decide, and from when."""
