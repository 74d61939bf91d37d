"""What standing approvals may be proposed for, and how much the greatest of them may cover."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from settings.tenants import AgentName
from settings.yaml_files import load_yaml

__all__ = ["StandingFile", "StandingScope", "load_standing"]

ScopeName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{2,60}$")]
ToolName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}\.[a-z][a-z0-9_]{0,40}$")]
RungName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
PolicyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class StandingScope(BaseModel):
    """One kind of standing approval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str = Field(min_length=1, max_length=300)
    """What it is meant for."""
    agent: AgentName
    """The only agent that it is about."""
    tools: tuple[ToolName, ...] = Field(min_length=1, max_length=20)
    """The only tools that it is about."""
    rungs: tuple[RungName, ...] = Field(min_length=1, max_length=20)
    """Rungs of the ladder that it may stand for."""
    policies: tuple[PolicyName, ...] = Field(min_length=1, max_length=50)
    """Policies that it may answer. Those that permit the call need not be listed."""
    max_tier: int = Field(default=3, ge=1, le=4)
    """The highest tier of a call under it; 4 is never covered unless it stands here."""
    max_uses: int = Field(ge=1, le=10_000)
    max_days: int = Field(default=30, ge=1, le=92)
    """Longest time that it may hold, in days."""
    money: dict[Currency, Annotated[int, Field(ge=1, le=2**53 - 1)]] = Field(default_factory=dict, max_length=200)
    """The most that all its uses together may move, in minor units; a currency that is not listed is not covered."""


class StandingFile(BaseModel):
    """`standing.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scopes: dict[ScopeName, StandingScope] = Field(default_factory=dict, max_length=100)
    """By name."""


def load_standing(file: Path) -> StandingFile:
    """Every scope. Raises SettingsError: the file has a mistake."""
    return load_yaml(file, StandingFile)
