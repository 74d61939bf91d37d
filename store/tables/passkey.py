"""Passkeys of people, challenges that wait to be signed, what happened to passkeys, and the evidence beside votes."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, LargeBinary, text
from sqlmodel import Field

from store.tables.base import Table

__all__ = ["AssertionRow", "PasskeyChallengeRow", "PasskeyEventRow", "PasskeyRow"]


def _at(*, nullable: bool = False, default: bool = True) -> Column[datetime]:
    filled = text("now()") if default and not nullable else None
    return Column(DateTime(timezone=True), nullable=nullable, server_default=filled)


class PasskeyRow(Table, table=True):
    """A passkey of an account. Removed ones stay: what they signed is still to be verified."""

    __tablename__ = "passkeys"
    __table_args__ = (
        Index("passkeys_by_credential", "tenant", "credential_id", unique=True),
        Index("passkeys_by_account", "tenant", "username", postgresql_where=text("removed_at is null")),
    )
    tenant: str = Field(primary_key=True)
    passkey_id: str = Field(primary_key=True)
    username: str
    name: str
    """What its owner calls it."""
    credential_id: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    public_key: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """COSE key."""
    rp_id: str
    """Name of the site for which it was made: it answers no other."""
    aaguid: str
    """Model of the authenticator, as it says itself."""
    synced: bool
    """Whether it may be copied to other devices of its owner."""
    sign_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    """What the authenticator had counted at its last use; 0 of one that does not count."""
    created_at: datetime = Field(sa_column=_at())
    last_used_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    removed_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    lost: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    """Of one that an operator removed: what it signed and has not been used counts no more."""


class PasskeyChallengeRow(Table, table=True):
    """A challenge that waits for its one answer."""

    __tablename__ = "passkey_challenges"
    tenant: str = Field(primary_key=True)
    challenge: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    holder: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """Digest of the session, or of the sign-in under way, to which it was given."""
    purpose: str
    """`add`, `sign_in` or `decide`."""
    statement: str
    """JSON of what it is about."""
    expires_at: datetime = Field(sa_column=_at(default=False))


class PasskeyEventRow(Table, table=True):
    """What happened to the passkeys of an account. Append-only."""

    __tablename__ = "passkey_events"
    __table_args__ = (Index("passkey_events_of_account", "tenant", "username", "at"),)
    tenant: str = Field(primary_key=True)
    event_id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    username: str
    passkey_id: str
    """Empty where no passkey was found."""
    verb: str
    """`add`, `remove` or `refuse`."""
    changed_by: str
    """Account, or who operates the machine."""
    detail: str
    """Of a removal why; of a refusal what did not hold."""
    at: datetime = Field(sa_column=_at())


class AssertionRow(Table, table=True):
    """What an authenticator signed for a vote. Append-only."""

    __tablename__ = "vote_assertions"
    tenant: str = Field(primary_key=True)
    request_id: str = Field(primary_key=True)
    decision_id: str = Field(primary_key=True)
    body: str
    """`Assertion` as canonical JSON: the vote carries its digest."""
    jws: str
    """The signed vote."""
    kept_at: datetime = Field(sa_column=_at())
