"""Cases of a policy: calls with their facts, and what must be decided. They stand beside it and need no model."""

from typing import Annotated

from pydantic import Field, JsonValue, StringConstraints

from contracts.agent import Stage
from contracts.base import GroupName, Record, ToolName, UserName
from contracts.decision import GrantKind
from policy.provenance import Origin

__all__ = ["CaseFacts", "CaseUser", "PolicyCase", "PolicyCases"]

CaseName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,99}$")]
PolicyId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{2,79}$")]


class CaseUser(Record):
    """The user on whose behalf the agent acts."""

    name: UserName = "uma"
    enabled: bool = True
    groups: tuple[GroupName, ...] = ()
    roles: tuple[str, ...] = ()


class CaseFacts(Record):
    """What the store says. What is not written is a quiet day: enabled, nothing done, nothing stopped."""

    tenant: str = "acme"
    stage: Stage = Stage.LIMITED_AUTONOMY
    enabled: bool = True
    tier_ceiling: int = Field(default=4, ge=0, le=4)
    halted: bool = False
    completed: tuple[ToolName, ...] = ()
    """Tools that completed in the run, once for each time that they stand here."""
    money_minor: dict[str, int] = Field(default_factory=dict)
    """Moved in the run before, by currency."""
    money_today_minor: int = Field(default=0, ge=0)
    calls_today: int = Field(default=0, ge=0)
    tainted: bool = True
    """The run has read untrusted content."""
    repeated: bool = False
    """The same deed was done before."""
    requested: bool = True
    """The event's words ask for this kind of deed."""
    requested_all: bool = False
    """They say all, each or every."""
    spent: tuple[str, ...] = ()
    """Arguments that a call of this tool had before in this run."""
    astray: tuple[str, ...] = ()
    """Arguments that a trusted record holds, but to which the event does not lead."""
    age_s: int = Field(default=60, ge=0)
    """Of the run."""
    user: CaseUser | None = None
    """On whose behalf; None: on nobody's."""


class PolicyCase(Record):
    """One call and its decision."""

    name: CaseName
    call: ToolName
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    """Only what differs from the file's `arguments` for the tool."""
    provenance: dict[str, Origin] = Field(default_factory=dict)
    """Where arguments came from, where that is not `trusted`."""
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    """Only what differs from the file's `facts`."""
    undo: bool = False
    """Decided for the identity that takes back what the agent did."""
    granted: str = ""
    """The rung of the ladder that is held; empty: none."""
    grant_kind: GrantKind = "people"
    """Whether people were asked, or a standing approval stands for them."""
    expect: str = Field(min_length=1, max_length=63)
    """`allow`, `deny`, or the rung that must be asked."""
    policies: tuple[PolicyId, ...] = ()
    """Policies that must be among those that decide."""


class PolicyCases(Record):
    """`policy_tests.yaml`."""

    facts: CaseFacts = CaseFacts()
    """Of every case, unless it says otherwise."""
    arguments: dict[ToolName, dict[str, JsonValue]] = Field(default_factory=dict)
    """Usual arguments of each tool."""
    cases: tuple[PolicyCase, ...] = Field(min_length=1, max_length=1_000)
