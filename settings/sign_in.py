"""Where the people of a tenant sign in: OpenID providers, and what their claims mean here."""

import ipaddress
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from settings.secret_references import SecretReference
from settings.tenants import TenantName
from settings.yaml_files import load_yaml

__all__ = ["OidcProvider", "SignInFile", "is_protected", "load_sign_in"]

Issuer = Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]{1,400}$")]
Word = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
Claim = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class OidcProvider(BaseModel):
    """One OpenID provider."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: Issuer
    """Its issuer identifier; what it is and where its endpoints are is read from its discovery document."""
    client_id: Word
    client_secret: SecretReference
    label: str = Field(min_length=1, max_length=80)
    """Words on the button."""
    listed: bool = True
    """Show the button on the sign-in page; if not, people come by `/sign-in/with/<tenant>`."""
    scopes: tuple[Word, ...] = ("openid", "profile", "email", "groups")
    person_claim: Word = "email"
    """Claim that names the human being, whose accounts count as one person. Only a verified e-mail counts."""
    groups_claim: Word = "groups"
    groups: dict[Name, tuple[Claim, ...]] = Field(default_factory=dict, max_length=200)
    """Our group: the values of the claim that put somebody into it."""
    roles: dict[Name, tuple[Claim, ...]] = Field(max_length=5)
    """Operator role: the values of the claim that give it."""
    multi_factor: tuple[Claim, ...] = ("mfa", "otp", "hwk", "swk", "pop")
    """Values of `acr` or `amr` that mean more than a password."""
    local_accounts: bool = True
    """Whether local accounts of the tenant may still sign in, as a way in when the provider is down."""
    timeout_s: float = Field(default=10.0, gt=0, le=30)

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if not is_protected(self.issuer):
            msg = f"issuer: {self.issuer} is not https: anybody on the way could sign in as anybody"
            raise ValueError(msg)
        if "openid" not in self.scopes:
            msg = "scopes: openid is missing, so the provider would not say who signs in"
            raise ValueError(msg)
        unknown = set(self.roles) - {"view", "approve", "kill", "undo", "administer"}
        if unknown:
            msg = f"roles: there is no role {min(unknown)!r}: view, approve, kill, undo, administer"
            raise ValueError(msg)
        return self


class SignInFile(BaseModel):
    """`sign_in.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenants: dict[TenantName, OidcProvider] = Field(default_factory=dict, max_length=10_000)
    """Provider by tenant; a tenant without one has local accounts only."""


def load_sign_in(file: Path) -> SignInFile:
    """Every provider. Raises SettingsError: the file has a mistake."""
    return load_yaml(file, SignInFile)


def is_protected(address: str) -> bool:
    """Whether nobody on the way can read or change what is sent there: https, or this machine."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    try:
        is_here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = False
    return parts.scheme == "https" or (parts.scheme == "http" and is_here)
