"""Tenants, and the state in which each of their agents starts its life."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from settings.yaml_files import load_yaml

__all__ = ["AgentName", "InitialState", "Tenant", "TenantName", "TenantsFile", "load_tenants"]

TenantName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
AgentName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InitialState(_Part):
    """State of an agent in a tenant until somebody changes it. Later changes are in the database, not here."""

    stage: Literal["off", "shadow", "read_only", "drafts", "gated_writes", "limited_autonomy"] = "shadow"
    """Autonomy level."""
    enabled: bool = True
    """Whether it may run at all."""
    tier_ceiling: int = Field(default=1, ge=0, le=4)
    """Highest risk tier that it may ever call."""


class Tenant(_Part):
    """One customer, department or environment, walled off from the others."""

    name: str = Field(min_length=1, max_length=120)
    """For people."""
    agents: dict[AgentName, InitialState] = Field(default_factory=dict, max_length=1_000)
    """Agents that exist for it. An agent that is not listed is off."""


class TenantsFile(_Part):
    """`tenants.yaml`."""

    tenants: dict[TenantName, Tenant] = Field(min_length=1, max_length=10_000)
    """By id."""
    operators: TenantName | None = None
    """Tenant whose operators may throw and release kill switches for all tenants; unset: the only one there is."""

    @property
    def operator_tenant(self) -> str | None:
        """The tenant whose operators act for the whole installation; None: nobody's do."""
        alone = next(iter(self.tenants)) if len(self.tenants) == 1 else None
        return self.operators or alone


def load_tenants(file: Path) -> TenantsFile:
    """Every tenant. Raises SettingsError: the file has a mistake."""
    return load_yaml(file, TenantsFile)
