"""What a tenant and each of its agents may use in a day, and how fast and towards whom tools may be called."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from settings.tenants import AgentName, TenantName
from settings.time_zones import TimeZone
from settings.yaml_files import load_yaml

__all__ = [
    "MEASURES",
    "BreakerSettings",
    "DayCaps",
    "LimitsSettings",
    "TenantLimits",
    "ToolCaps",
    "load_limits",
]

MEASURES = ("tokens", "micros", "model_calls", "tool_calls", "retries", "wall_s")
"""What is counted for each day beside money, in the order in which the store's functions take it."""

_MOST = 2**53 - 1
Count = Annotated[int, Field(ge=0, le=_MOST)]
Usd = Annotated[str, StringConstraints(pattern=r"^\d{1,9}(\.\d{1,6})?$")]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
ToolName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}\.[a-z][a-z0-9_]{0,40}$")]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^\S+$")]
RungId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DayCaps(_Part):
    """What may be used between one midnight and the next. Everything has a bound, even when nothing is written."""

    tokens: Count = 20_000_000
    """Input and output tokens of all model calls."""
    usd: Usd = "200"
    """Model cost in US dollars, as a decimal string."""
    model_calls: Count = 50_000
    """Model calls, each attempt that may have been charged."""
    tool_calls: Count = 100_000
    """Tool calls that were admitted."""
    retries: Count = 10_000
    """Further attempts at model calls and tool calls."""
    wall_s: Count = 2_000_000
    """Time spent in model calls and tool calls, in seconds, over all runs."""
    money_minor: dict[Currency, Count] = Field(default_factory=dict[str, int], max_length=200)
    """Minor units that writes may move, per currency. Empty: no cap; else a currency that is not listed has none."""

    def vector(self) -> tuple[int, ...]:
        """The caps in the order of `MEASURES`."""
        return (
            self.tokens, int(Decimal(self.usd) * 1_000_000), self.model_calls, self.tool_calls, self.retries,
            self.wall_s,
        )  # fmt: skip


class ToolCaps(_Part):
    """What a tenant allows of a tool, below what the tool itself declares."""

    rate_per_minute: int = Field(default=0, ge=0, le=100_000)
    """Calls in any 60 seconds; 0: what the tool declares."""
    rate_per_day: Count = 0
    """Calls a day; 0: what the tool declares."""
    money_minor: dict[Currency, Count] = Field(default_factory=dict[str, int], max_length=200)
    """Minor units that it may move a day, per currency. Empty: no cap; else a currency that is not listed has none."""
    destinations: tuple[Pattern, ...] = Field(default=(), max_length=1_000)
    """Whom its calls may reach, beside what the tool declares: `example.com`, `*.example.com`, `@example.com`, or an
    account, where a `*` at the end stands for the rest."""


class BreakerSettings(_Part):
    """When a tool is cut off, and for how long."""

    failures: int = Field(default=5, ge=1, le=1_000)
    """So many calls without a clear answer …"""
    of_last: int = Field(default=20, ge=1, le=1_000)
    """… among so many calls …"""
    window_s: int = Field(default=600, ge=10, le=86_400)
    """… within this time, in seconds."""
    open_s: int = Field(default=60, ge=1, le=86_400)
    """How long it stays cut off before one call may probe it, in seconds. Doubles with each probe that fails."""


class Raises(_Part):
    """Who may raise a run's limit where its agent declares `on_exceeded: ask`."""

    asks: RungId | None = None
    """Rung of the ladder; unset: the lowest."""
    most: int = Field(default=2, ge=0, le=10)
    """How often the limits of one run may be raised. Each raise adds half of the limit as declared."""


class TenantLimits(_Part):
    """Limits of one tenant."""

    timezone: TimeZone = "UTC"
    """Whose midnight ends the day."""
    day: DayCaps = DayCaps()
    """All agents of the tenant together."""
    agent_day: DayCaps = DayCaps()
    """Each agent that is not named below."""
    agents: dict[AgentName, DayCaps] = Field(default_factory=dict[str, DayCaps], max_length=1_000)
    """Agents with caps of their own."""
    tools: dict[ToolName, ToolCaps] = Field(default_factory=dict[str, ToolCaps], max_length=1_000)
    """Tools by name."""
    breaker: BreakerSettings = BreakerSettings()
    """Applies to every tool."""
    raises: Raises = Raises()

    def agent(self, name: str) -> DayCaps:
        """Caps of an agent."""
        return self.agents.get(name, self.agent_day)

    def tool(self, name: str) -> ToolCaps:
        """Caps of a tool."""
        return self.tools.get(name, _NO_CAPS)


_NO_CAPS = ToolCaps()
_UNLISTED = TenantLimits()


class LimitsSettings(_Part):
    """`limits.yaml`."""

    tenants: dict[TenantName, TenantLimits] = Field(default_factory=dict[str, TenantLimits], max_length=10_000)
    """By id. A tenant that is not listed has the defaults."""

    def tenant(self, name: str) -> TenantLimits:
        """Limits of a tenant."""
        return self.tenants.get(name, _UNLISTED)


def load_limits(file: Path) -> LimitsSettings:
    """Every tenant's limits. Raises SettingsError: the file has a mistake."""
    return load_yaml(file, LimitsSettings)
