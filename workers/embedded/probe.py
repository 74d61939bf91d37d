"""How to ask a component whether it is ready: a value, kept in the stack's file too."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["HttpProbe", "PostgresProbe", "Probe", "TemporalProbe"]


class _Probe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HttpProbe(_Probe):
    """Ready when an address answers 200."""

    kind: Literal["http"] = "http"
    url: str
    """Address to GET."""


class PostgresProbe(_Probe):
    """Ready when a database answers a query."""

    kind: Literal["postgres"] = "postgres"
    url: str
    """Address of the database; without a password, it is written to a file."""


class TemporalProbe(_Probe):
    """Ready when a Temporal server knows its namespace."""

    kind: Literal["temporal"] = "temporal"
    address: str
    """Host and port."""
    namespace: str
    """Namespace that must exist."""


Probe = Annotated[HttpProbe | PostgresProbe | TemporalProbe, Field(discriminator="kind")]
