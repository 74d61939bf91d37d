"""Where people are told that a decision is wanted: channels by tenant, and the mail server."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from settings.secret_references import SecretReference
from settings.tenants import TenantName
from settings.yaml_files import load_yaml

__all__ = ["Channel", "EmailChannel", "NotifyFile", "SlackChannel", "Smtp", "WebhookChannel", "load_notify"]

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
Group = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
Account = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,126}$")]
Address = Annotated[str, StringConstraints(pattern=r"^[^\s@<>,;:\x00-\x1f]{1,64}@[A-Za-z0-9.-]{1,190}$")]
Sender = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x1f<>]{0,80}<?[^\s@<>,;:\x00-\x1f]{1,64}@[A-Za-z0-9.-]{1,190}>?$")
]
HttpsUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]{1,400}$")]
Notice = Literal["requested", "reminder", "escalated", "expired", "passkeys"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Smtp(_Part):
    """The mail server that takes our mail."""

    host: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:-]{1,253}$")]
    port: int = Field(default=587, ge=1, le=65_535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    """`starttls` and `tls` verify the server's certificate; `none` is for a server on this machine."""
    username: str = Field(default="", max_length=200)
    """Empty: the server asks for none."""
    password: SecretReference | None = None
    sender: Sender
    """`From` of every mail."""
    timeout_s: float = Field(default=10.0, gt=0, le=60)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bool(self.username) != (self.password is not None):
            msg = "username and password belong together"
            raise ValueError(msg)
        if self.username and self.security == "none" and self.host not in ("127.0.0.1", "localhost", "::1"):
            msg = "a password would cross the network unprotected: use starttls or tls"
            raise ValueError(msg)
        return self


class _Channel(_Part):
    name: Name
    """What is told is recorded under it."""
    groups: tuple[Group, ...] = Field(default=(), max_length=20)
    """Requests that these groups can decide; empty, as `people` too: all."""
    people: tuple[Account, ...] = Field(default=(), max_length=50)
    """Accounts: requests that they may decide as delegates at the time, whatever their own groups are."""
    notices: tuple[Notice, ...] = ("requested", "reminder", "escalated", "expired", "passkeys")
    """What it tells; of changed passkeys only the accounts in `people` that they belong to."""


class EmailChannel(_Channel):
    """Mail, one to all addresses, who do not see each other."""

    kind: Literal["email"]
    to: tuple[Address, ...] = Field(min_length=1, max_length=50)


class SlackChannel(_Channel):
    """An incoming webhook as Slack, Mattermost and others understand it."""

    kind: Literal["slack"]
    url: SecretReference
    """Whoever knows the address can post there: it is a secret."""


class WebhookChannel(_Channel):
    """A signed POST (Standard Webhooks)."""

    kind: Literal["webhook"]
    url: HttpsUrl
    secret: SecretReference
    """`whsec_` and base64, as the receiver has it."""


Channel = Annotated[EmailChannel | SlackChannel | WebhookChannel, Field(discriminator="kind")]


class NotifyFile(_Part):
    """`notify.yaml`."""

    smtp: Smtp | None = None
    tenants: dict[TenantName, tuple[Channel, ...]] = Field(default_factory=dict, max_length=10_000)
    """Channels by tenant."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for tenant, channels in self.tenants.items():
            names = [channel.name for channel in channels]
            if len(names) > len(set(names)):
                msg = f"two channels of {tenant} have one name"
                raise ValueError(msg)
            if self.smtp is None and any(channel.kind == "email" for channel in channels):
                msg = f"{tenant} wants mail, but there is no smtp server"
                raise ValueError(msg)
        return self


def load_notify(file: Path) -> NotifyFile:
    """Every channel. Raises SettingsError: the file has a mistake."""
    return load_yaml(file, NotifyFile)
