"""Systems that tools talk to: where each is, and which credentials it understands."""

import ipaddress
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from settings.secret_references import SecretReference

__all__ = ["OwnCredentials", "ServiceEntry", "ServiceSecret", "ServiceSettings", "TokenExchange", "referenced_secrets"]

Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+(/[^\s?#]*)?$")]
Path = Annotated[str, StringConstraints(pattern=r"^/[^\s?#]{0,400}$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]
Words = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,400}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OwnCredentials(_Part):
    """The gate signs a credential for each call itself; the service verifies it with our public keys."""

    kind: Literal["own"] = "own"


class TokenExchange(_Part):
    """For each call the gate asks an OAuth authorization server for an access token (RFC 8693)."""

    kind: Literal["token_exchange"]
    token_endpoint: Url
    """Where tokens are asked for. https, or this machine."""
    issuer: Words
    """The server's `iss`; also the audience of what we sign for it."""
    jwks: Url
    """Where the server publishes its keys; with them the gate verifies what it got before it sends anything."""
    client_id: Words
    """Our client id there."""
    client_key: SecretReference
    """Our private key (Ed25519, as JWK) for `private_key_jwt`."""
    audience: Words
    """The service's name at the server: the one audience that a token may have."""
    resource: Url | None = None
    """The service's resource indicator (RFC 8707), where the server wants one."""
    timeout_s: float = Field(default=3.0, gt=0, le=30)
    """How long the server may take to answer."""

    @model_validator(mode="after")
    def _is_protected(self) -> Self:
        for name, url in (("token_endpoint", self.token_endpoint), ("jwks", self.jwks)):
            parts = urlsplit(url)
            if parts.scheme != "https" and not _is_this_machine(parts.hostname or ""):
                msg = f"{name}: {url} is not https: tokens and keys would cross the network unprotected"
                raise ValueError(msg)
        return self


class ServiceSecret(_Part):
    """The service knows one secret of ours. It proves neither call nor arguments: policy alone binds what is sent."""

    kind: Literal["secret"]
    secret: SecretReference
    """The secret, such as an API key."""
    header: HeaderName = "Authorization"
    """Header that carries it."""
    prefix: Annotated[str, StringConstraints(pattern=r"^[!-~]{0,40}$")] = "Bearer"
    """Word before it; empty for none."""


class ServiceEntry(_Part):
    """One system. A plain address in the settings means: this address, our own credentials."""

    url: Url
    """Base address."""
    credentials: Annotated[OwnCredentials | TokenExchange | ServiceSecret, Field(discriminator="kind")] = (
        OwnCredentials()
    )
    """How a call proves who makes it."""
    revocations: Path | None = None
    """Where the service takes news of revoked credentials (POST of the signed epochs); none: it asks by itself."""


def _entry(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


ServiceSettings = Annotated[ServiceEntry, BeforeValidator(_entry)]
"""A service as it may stand in the settings."""


def referenced_secrets(services: dict[str, ServiceEntry]) -> tuple[str, ...]:
    """Every reference to a secret that the services name."""
    found: list[str] = []
    for entry in services.values():
        match entry.credentials:
            case TokenExchange(client_key=reference) | ServiceSecret(secret=reference):
                found.append(reference)
            case OwnCredentials():
                pass
    return tuple(found)


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
