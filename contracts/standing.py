"""Standing approvals: for this tool, within these bounds, until then. What people agree to, as canonical data."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from contracts.base import AgentName, Digest, Record, RunId, TenantId, ToolName
from contracts.decision import Reason, Requirement

__all__ = [
    "AnyValue",
    "AtMost",
    "Bound",
    "Equals",
    "OfEvent",
    "OneOf",
    "StandingId",
    "StandingMoney",
    "StandingState",
    "StandingTerms",
    "standing_run_id",
]

StandingId = Annotated[str, Field(pattern=r"^sta-[a-z2-7]{26}$")]
StandingState = Literal["proposed", "granted", "denied", "revoked"]
Argument = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
"""Of a tool whose arguments are named otherwise, no call falls under a standing approval."""


class _Bound(Record):
    argument: Argument
    """Name of the argument."""
    unproven: bool = False
    """Whether a value is within it that no trusted record and no trusted field of the event holds."""


class Equals(_Bound):
    """This value and no other, character by character. Null: the argument is not given."""

    kind: Literal["equals"] = "equals"
    value: JsonValue


class OneOf(_Bound):
    """One of these values."""

    kind: Literal["one_of"] = "one_of"
    values: tuple[JsonValue, ...] = Field(min_length=1, max_length=100)


class AtMost(_Bound):
    """A whole number from 0 to this one; money in minor units."""

    kind: Literal["at_most"] = "at_most"
    most: int = Field(ge=0, le=2**53 - 1)


class OfEvent(_Bound):
    """The event of the run states the value, or leads to it through trusted records."""

    kind: Literal["of_event"] = "of_event"


class AnyValue(_Bound):
    """Whatever the tool takes."""

    kind: Literal["any"] = "any"


Bound = Annotated[Equals | OneOf | AtMost | OfEvent | AnyValue, Field(discriminator="kind")]


class StandingMoney(Record):
    """The most that all uses together may move."""

    currency: str = Field(pattern=r"^[A-Z]{3}$")
    total_minor: int = Field(ge=1, le=2**53 - 1)


class StandingTerms(Record):
    """What a standing approval holds for. Votes are bound to its digest: whoever changes a part has none of them."""

    tenant: TenantId
    standing_id: StandingId
    scope: str = Field(max_length=63)
    """The scope of `settings/standing.yaml` under which it was proposed."""
    agent: AgentName
    tool: ToolName
    tool_version: int
    schema_digest: Digest
    bounds: tuple[Bound, ...] = Field(min_length=1, max_length=50)
    """One for each argument of the tool."""
    rung: Requirement
    """The rung of the ladder that it stands for."""
    policies: tuple[Reason, ...] = Field(min_length=1, max_length=50)
    """Policies that may ask for it, in their words of then: where another one asks as well, people are asked."""
    max_tier: int = Field(ge=0, le=4)
    """The highest tier of a call under it."""
    max_uses: int = Field(ge=1, le=10_000)
    money: StandingMoney | None
    """None: it covers no call that moves money."""
    reason: str = Field(min_length=1, max_length=2_000)
    """Why it is proposed."""
    proposed_by: str = Field(max_length=200)
    """Person; has no vote on it."""
    proposer: str = Field(max_length=200)
    """Their account."""
    proposed_at: int
    """Unix seconds; so are those below."""
    decide_until: int
    """Votes that are cast later do not count."""
    until: int
    """No call is admitted under it from then on."""


def standing_run_id(standing_id: str) -> RunId:
    """What a vote on it names as its run: an id that no run has, so that no run takes the vote for one of its own."""
    return "run-" + standing_id.removeprefix("sta-")
