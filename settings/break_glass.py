"""Emergencies that may be declared, and what each of them lifts."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from settings.tenants import AgentName
from settings.yaml_files import load_yaml

__all__ = ["BreakGlassFile", "Lift", "Scope", "load_break_glass"]

ScopeName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{2,60}$")]
ToolName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}\.[a-z][a-z0-9_]{0,40}$")]
GroupName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
Lift = Literal["stage", "tier-ceiling", "approval"]
"""A control of `policy/base.cedar` that an emergency may lift. Walls are not among them."""


class Scope(BaseModel):
    """One emergency that may be declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str = Field(min_length=1, max_length=300)
    """When it is meant to be used."""
    agent: AgentName
    """The only agent that it is about."""
    tools: tuple[ToolName, ...] = Field(min_length=1, max_length=20)
    """The only tools that it is about."""
    lifts: tuple[Lift, ...] = Field(min_length=1, max_length=3)
    """What does not hold meanwhile."""
    max_minutes: int = Field(ge=1, le=60)
    """Longest time that it may be open."""
    approvers: GroupName
    """Group of the two persons who open it."""


class BreakGlassFile(BaseModel):
    """`break_glass.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scopes: dict[ScopeName, Scope] = Field(default_factory=dict, max_length=100)
    """By name."""


def load_break_glass(file: Path) -> BreakGlassFile:
    """Every scope. Raises SettingsError: the file has a mistake."""
    return load_yaml(file, BreakGlassFile)
