"""Event endpoints: whose they are, who may post to them, which agent an event starts, which of its fields are trusted.

The file is reviewed configuration. Nothing in an event can choose more than one of the values that stand here.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from settings.secret_references import SecretReference
from settings.tenants import AgentName, TenantName, TenantsFile
from settings.yaml_files import load_yaml, mistake

__all__ = ["Endpoint", "EndpointName", "EndpointsFile", "Route", "load_endpoints"]

EndpointName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
FieldName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$")]
Source = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9/][A-Za-z0-9:/._~-]{0,98}$")]
"""A CloudEvents source. No `#`: it separates the source from the event's id in the key of the inbox."""
EnumeratedValue = Annotated[str, StringConstraints(min_length=1, max_length=100)]


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


EnumeratedValues = Annotated[
    tuple[EnumeratedValue, ...], BeforeValidator(_as_tuple), Field(min_length=1, max_length=50)
]
_ALWAYS_ROUTABLE = ("type", "source")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Route(_Part):
    """One way from an event to an agent; the first route that fits is taken."""

    when: dict[str, EnumeratedValues] = Field(min_length=1, max_length=8)
    """Field (`type`, `source` or `data.` and a trusted field) to the values that fit. All of them must fit."""
    agent: AgentName
    """The agent that is started."""

    @model_validator(mode="after")
    def _names_a_type(self) -> Self:
        if "type" not in self.when:
            msg = "`when` must name the event's `type`"
            raise ValueError(msg)
        return self


class Endpoint(_Part):
    """`POST /events/<name>`."""

    tenant: TenantName
    """Whose events these are. The only place that says so: the body cannot."""
    secrets: tuple[SecretReference, ...] = Field(default=(), max_length=5)
    """Where the signing secrets (`whsec_…`, one a line) lie: `file:PATH` (relative to the state folder), `env:NAME` or
    `command:PROGRAM ARGUMENT`.

    Several while they are rotated. Empty: the endpoint's entry in `endpoint_secrets_file`.
    """
    sources: tuple[Source, ...] = Field(min_length=1, max_length=50)
    """The CloudEvents sources that may post here."""
    routes: tuple[Route, ...] = Field(min_length=1, max_length=50)
    """Which agent an event starts."""
    trusted: tuple[FieldName, ...] = Field(default=(), max_length=50)
    """Fields of `data` whose values the sender vouches for, such as ids from its own database. Others are untrusted."""
    on_behalf_of: FieldName | None = None
    """Trusted field of `data` that names the user whose permissions bound the run's; absent: nobody's."""
    max_body_bytes: int = Field(default=262_144, ge=1_024, le=1_048_576)
    """Largest body that is read."""
    binary: bool = False
    """Accept CloudEvents' binary mode too.

    The webhook signature covers the body and `webhook-id`, not the `ce-` headers: such an endpoint has one source
    and one type, so that an unsigned header can choose nothing.
    """

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        for number, route in enumerate(self.routes):
            for field in route.when:
                if field not in _ALWAYS_ROUTABLE and field not in {f"data.{name}" for name in self.trusted}:
                    msg = f"routes.{number}.when: `{field}` is neither type, source nor data. and a `trusted` field"
                    raise ValueError(msg)
        if self.on_behalf_of is not None and self.on_behalf_of not in self.trusted:
            msg = f"on_behalf_of: `{self.on_behalf_of}` is not listed under `trusted`"
            raise ValueError(msg)
        types = {value for route in self.routes for value in route.when["type"]}
        if self.binary and (len(self.sources) > 1 or len(types) > 1):
            msg = "binary: needs exactly one source and one type, since ce- headers are not signed"
            raise ValueError(msg)
        return self


class EndpointsFile(_Part):
    """`endpoints.yaml`."""

    endpoints: dict[EndpointName, Endpoint] = Field(max_length=1_000)
    """By the name in the path."""


def load_endpoints(file: Path, tenants: TenantsFile) -> dict[str, Endpoint]:
    """Every endpoint by name.

    Raises:
        SettingsError: the file has a mistake, or names a tenant or an agent that the tenants' file does not list.
    """
    endpoints = load_yaml(file, EndpointsFile).endpoints
    for name, endpoint in endpoints.items():
        tenant = tenants.tenants.get(endpoint.tenant)
        if tenant is None:
            known = ", ".join(sorted(tenants.tenants))
            raise mistake(file, ("endpoints", name, "tenant"), f"`{endpoint.tenant}` is no tenant. Tenants: {known}.")
        for number, route in enumerate(endpoint.routes):
            if route.agent not in tenant.agents:
                known = ", ".join(sorted(tenant.agents)) or "none"
                raise mistake(
                    file,
                    ("endpoints", name, "routes", number, "agent"),
                    f"tenant `{endpoint.tenant}` has no agent `{route.agent}`. Its agents: {known}.",
                )
    return endpoints
