"""Programs that are no browsers: how a person signs one in, and what became of their sessions."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, LargeBinary, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlmodel import Field

from store.tables.base import Table

__all__ = ["DeviceSignInRow", "SessionChangeRow"]


def _at(*, nullable: bool = False, default: str | None = None) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable, server_default=text(default) if default else None)


class DeviceSignInRow(Table, table=True):
    """A program asks to be signed in, and somebody says yes or no in their browser (RFC 8628). Gone when it is over."""

    __tablename__ = "device_sign_ins"
    __table_args__ = (Index("device_sign_ins_by_code", "tenant", "user_hash", unique=True),)
    tenant: str = Field(primary_key=True)
    device_hash: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    """SHA-256 of what the program polls with."""
    user_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """HMAC of the code that the person types, under the installation's secret: it is short."""
    front_end: str
    """What the program calls itself."""
    address: str
    """Network address from which it asks."""
    scopes: list[str] = Field(sa_column=Column(ARRAY(TEXT), nullable=False))
    """Roles that it wants to use."""
    asked_at: datetime = Field(sa_column=_at(default="now()"))
    expires_at: datetime = Field(sa_column=_at())
    interval_s: int
    """It polls no faster."""
    polled_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    state: str = Field(default="waiting", sa_column_kwargs={"server_default": text("'waiting'")})
    """`waiting`, `allowed`, `denied`, `taken`."""
    username: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    """Account of who allowed or denied it."""
    multi_factor: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    """How they had signed in; so is `authenticated_at`."""
    authenticated_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    session_ends_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    """When the session ends in which they allowed it."""


class SessionChangeRow(Table, table=True):
    """Who let which program in, and who ended what. Append-only."""

    __tablename__ = "session_changes"
    tenant: str = Field(primary_key=True)
    change_id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    at: datetime = Field(sa_column=_at(default="now()"))
    verb: str
    """`allow`, `deny`, `end` or `end_all`."""
    username: str
    person: str
    """The human being."""
    front_end: str
    """The program; empty of a browser, and of all at once."""
    address: str
    """Where the program is, as far as one can tell."""
    scopes: list[str] = Field(sa_column=Column(ARRAY(TEXT), nullable=False))
