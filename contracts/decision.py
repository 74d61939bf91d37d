"""Decisions of policy as values, with the whole request that was decided."""

from typing import Annotated, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from contracts.base import Digest, GroupName, JsonObject, Record, is_empty
from contracts.short_form import restored, shortened

__all__ = [
    "Allowed",
    "AuthorizationRequest",
    "Decision",
    "DecisionRecord",
    "Denied",
    "GrantKind",
    "GroupCount",
    "NeedsApproval",
    "NeedsCheck",
    "PrincipalVerdict",
    "Reason",
    "Requirement",
    "StandingUse",
]


class GroupCount(Record):
    """So many distinct persons of a group."""

    group: GroupName
    count: int = Field(ge=1, le=5)


class Requirement(Record):
    """One rung of the ladder: who must approve."""

    id: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    """Name of the rung; policies refer to it as a member of `context.granted`."""
    needs: tuple[GroupCount, ...] = Field(min_length=1, max_length=5)
    """Every one of these must be met; one person counts for one of them."""

    @property
    def persons(self) -> int:
        """How many distinct persons it takes."""
        return sum(need.count for need in self.needs)

    def in_words(self) -> str:
        """Such as `2 of finance and 1 of support-leads`."""
        return " and ".join(f"{need.count} of {need.group}" for need in self.needs)


class AuthorizationRequest(Record):
    """What was put before the policy engine: all of it, so that it can be decided again under other policies.

    It is recorded in a short form (`contracts.short_form`), and read from there whole.
    """

    principal: str
    """Cedar entity, such as `Agent::"acme/support_refund"`."""
    action: str
    """Cedar entity, such as `Action::"payments.issue_refund"`."""
    resource: str
    """Cedar entity, such as `Order::"acme/ord_1001"`."""
    context: JsonObject
    """Typed context without the grant: arguments, tier, stage, counters, budgets, labels, switches."""
    entities: tuple[JsonObject, ...]
    """The entity slice, in Cedar's JSON form."""
    user: str = Field(default="", exclude_if=is_empty)
    """The user on whose behalf the agent acts, such as `User::"acme/lena"`: permitted is what both may do."""

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, document: object) -> object:
        return restored(document)

    @model_serializer(mode="wrap")
    def _short(self, dump: SerializerFunctionWrapHandler) -> JsonObject:
        return shortened(dump(self))


class Reason(Record):
    """A policy that determined a decision."""

    policy: str
    """The policy's `@id`."""
    text: str
    """The policy's `@reason`, for people and for the model."""


class PrincipalVerdict(Record):
    """What policy said of one principal, where a call has two: the agent, and the user on whose behalf it acts."""

    principal: str
    """Cedar entity."""
    allowed: bool
    """Under what was granted; of `needs_approval`, under the requirement."""
    policies: tuple[str, ...]
    """Ids of the policies that determined it; none for a denial because nothing permits."""


class Allowed(Record):
    """Policy permits the call."""

    kind: Literal["allow"] = "allow"
    reasons: tuple[Reason, ...]
    """Policies that permitted it."""


class Denied(Record):
    """Policy forbids the call whoever approves, or nothing permits it, or the evaluation failed."""

    kind: Literal["deny"] = "deny"
    reasons: tuple[Reason, ...]
    """Policies that forbade it; empty when none permits it."""
    errors: tuple[str, ...] = ()
    """Faults of the evaluation: each is a denial."""


class NeedsApproval(Record):
    """Policy permits the call once the requirement is met."""

    kind: Literal["needs_approval"] = "needs_approval"
    requirement: Requirement
    """The lowest rung of the ladder under which policy permits."""
    reasons: tuple[Reason, ...]
    """Policies that ask for it: the forbids that hold without a grant, and the permits that hold with it."""


class NeedsCheck(Record):
    """Policy asks for checks first; then it is decided again."""

    kind: Literal["needs_check"] = "needs_check"
    checks: tuple[str, ...] = Field(min_length=1)
    """The fewest whose passing brings the call further."""
    reasons: tuple[Reason, ...]
    """Policies that hold the call as long as they are not passed."""


Decision = Annotated[Allowed | Denied | NeedsApproval | NeedsCheck, Field(discriminator="kind")]


GrantKind = Literal["people", "standing"]
"""Whether people were asked about this very call, or had agreed beforehand; `context.grant_kind` of policies."""


class StandingUse(Record):
    """The standing approval that a grant came from."""

    standing_id: str
    number: int = Field(ge=1)
    """Which of its uses this is, if the call is admitted."""
    max_uses: int


class DecisionRecord(Record):
    """A decision with everything that it was decided on."""

    request: AuthorizationRequest
    granted: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """Rungs that a presented grant satisfied; empty without a grant."""
    approvers: int = Field(default=0, exclude_if=is_empty)
    """Distinct persons of that grant."""
    standing: StandingUse | None = Field(default=None, exclude_if=is_empty)
    """Of a grant that came from a standing approval, not from people who were asked."""
    decision: Decision
    bundle_digest: Digest
    """Digest of policies, schema and ladder that decided."""
    principals: tuple[PrincipalVerdict, ...] = Field(default=(), exclude_if=is_empty)
    """The agent's verdict and the user's, when it acts for one."""

    @property
    def grant_kind(self) -> GrantKind:
        """Where the presented grant came from."""
        return "standing" if self.standing else "people"
