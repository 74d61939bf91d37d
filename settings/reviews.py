"""Review after the fact: which effects are looked at again, how decisions are watched, who gets test requests."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from settings.tenants import AgentName, TenantName
from settings.yaml_files import load_yaml

__all__ = ["ReviewsFile", "TenantReviews", "Watch", "load_reviews"]

Share = Annotated[float, Field(ge=0, le=1)]
Tier = Annotated[int, Field(ge=1, le=4)]
ToolName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}\.[a-z][a-z0-9_]{0,40}$")]
Group = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Watch(_Part):
    """When a person's decisions raise an alarm. Nobody is judged on a handful of them."""

    days: int = Field(default=7, ge=1, le=90)
    """The decisions of so many days are looked at; the same alarm comes at most once in that time."""
    least: int = Field(default=20, ge=5, le=10_000)
    """Fewer decisions than this say nothing."""
    quick_s: int = Field(default=10, ge=1, le=600)
    """An approval is quick when the request was looked at for less, in seconds."""
    quick_share: Share = 0.5
    """Share of quick ones among a person's approvals that is too much."""
    missed_tests: int = Field(default=1, ge=1, le=100)
    """So many missed test requests, while nothing was denied, are too much."""


class TenantReviews(_Part):
    """Settings of one tenant."""

    tiers: tuple[Tier, ...] = (2,)
    """Tiers whose effects are drawn. Tier 2 runs without being asked, so it is looked at afterwards."""
    rate: Share = 0.05
    """Share of them that is drawn."""
    agents: dict[AgentName, Share] = Field(default_factory=dict, max_length=1_000)
    """Agents with a rate of their own."""
    tools: dict[ToolName, Share] = Field(default_factory=dict, max_length=1_000)
    """Tools with a rate of their own; where both have one, the higher holds."""
    first: int = Field(default=20, ge=0, le=10_000)
    """So many effects of each new version of an agent are all drawn."""
    due_days: int = Field(default=3, ge=1, le=90)
    """A review that waits longer raises an alarm."""
    watch: Watch = Watch()
    tests: dict[Group, Annotated[int, Field(ge=1, le=5)]] = Field(default_factory=dict, max_length=100)
    """Groups that get test requests, with the most in a week."""

    def rate_of(self, agent: str, tool: str) -> float:
        """Share of the effects of this tool in this agent's runs that is drawn."""
        own = [rates[name] for rates, name in ((self.agents, agent), (self.tools, tool)) if name in rates]
        return max(own) if own else self.rate


class ReviewsFile(_Part):
    """`reviews.yaml`."""

    tenants: dict[TenantName, TenantReviews] = Field(default_factory=dict, max_length=10_000)
    """By id. A tenant that is not listed has the defaults."""

    def tenant(self, name: str) -> TenantReviews:
        """Settings of a tenant."""
        return self.tenants.get(name, TenantReviews())


def load_reviews(file: Path) -> ReviewsFile:
    """Every tenant's settings. Raises SettingsError: the file has a mistake."""
    return load_yaml(file, ReviewsFile)
