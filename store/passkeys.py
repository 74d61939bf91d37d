"""Passkeys of people: kept with the account that registered them, good for every account of the same person."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record
from contracts.canonical import opaque_id
from store.sessions import end_sessions_of

__all__ = [
    "MAX_PASSKEYS",
    "MAX_REFUSALS",
    "NewPasskey",
    "Passkey",
    "PasskeyEvent",
    "PasskeyVerb",
    "add_passkey",
    "events_of",
    "find_by_credential",
    "find_passkey",
    "had_passkeys",
    "is_barred",
    "note_event",
    "note_use",
    "passkeys_of",
    "remove_passkey",
    "untold_events",
]

Cursor = AsyncCursor[DictRow]
PasskeyVerb = Literal["add", "remove", "refuse"]
MAX_PASSKEYS = 10
"""Of one account."""
MAX_REFUSALS = 5
"""Assertions of a person that do not hold, within `_BARRED_FOR`, before no more are looked at."""
_BARRED_FOR = timedelta(minutes=15)
_TOLD_WITHIN = timedelta(days=2)
MAX_LISTED = 100


class NewPasskey(Record):
    """A passkey as its authenticator registered it."""

    credential_id: bytes
    public_key: bytes
    """COSE key."""
    rp_id: str
    aaguid: str
    """Model of the authenticator, as it says itself."""
    synced: bool
    """Whether it may be copied to other devices of its owner."""
    sign_count: int


class Passkey(NewPasskey):
    """A passkey as it is kept."""

    tenant: str
    passkey_id: str
    username: str
    """Account that registered it."""
    name: str
    created_at: datetime
    last_used_at: datetime | None
    removed_at: datetime | None
    lost: bool
    """Whether an operator removed it: what it signed and has not been used counts no more."""


class PasskeyEvent(Record):
    """What happened."""

    event_id: int
    username: str
    passkey_id: str
    verb: PasskeyVerb
    changed_by: str
    detail: str
    at: datetime


async def passkeys_of(cursor: Cursor, tenant: str, person: str) -> tuple[Passkey, ...]:
    """Passkeys of all active accounts of a person, oldest first."""
    await cursor.execute(
        """select p.* from passkeys p join accounts a on a.tenant = p.tenant and a.username = p.username
           where p.tenant = %s and lower(a.person) = lower(%s) and not a.disabled and p.removed_at is null
           order by p.created_at, p.passkey_id limit %s""",
        (tenant, person, MAX_LISTED),
    )
    return tuple(Passkey.model_validate(row) for row in await cursor.fetchall())


async def had_passkeys(cursor: Cursor, tenant: str, person: str, at_s: int) -> bool:
    """Whether the person has a passkey that they had by the end of that second already; votes know no smaller part."""
    await cursor.execute(
        """select 1 from passkeys p join accounts a on a.tenant = p.tenant and a.username = p.username
           where p.tenant = %s and lower(a.person) = lower(%s) and not a.disabled and p.removed_at is null
               and p.created_at < to_timestamp(%s + 1) limit 1""",
        (tenant, person, at_s),
    )
    return await cursor.fetchone() is not None


async def find_passkey(cursor: Cursor, tenant: str, passkey_id: str, person: str) -> Passkey | None:
    """A passkey of that person, removed or not; None: they have no such one."""
    await cursor.execute(
        """select p.* from passkeys p join accounts a on a.tenant = p.tenant and a.username = p.username
           where p.tenant = %s and p.passkey_id = %s and lower(a.person) = lower(%s)""",
        (tenant, passkey_id, person),
    )
    row = await cursor.fetchone()
    return Passkey.model_validate(row) if row else None


async def find_by_credential(cursor: Cursor, tenant: str, credential_id: bytes, person: str) -> Passkey | None:
    """The person's passkey that answers so, locked until the transaction ends: its counter goes on once at a time."""
    await cursor.execute(
        """select p.* from passkeys p join accounts a on a.tenant = p.tenant and a.username = p.username
           where p.tenant = %s and p.credential_id = %s and lower(a.person) = lower(%s) and not a.disabled
               and p.removed_at is null for update of p""",
        (tenant, credential_id, person),
    )
    row = await cursor.fetchone()
    return Passkey.model_validate(row) if row else None


async def add_passkey(cursor: Cursor, tenant: str, username: str, name: str, new: NewPasskey) -> Passkey | None:
    """Keep a new passkey; None: the account has `MAX_PASSKEYS`, or this authenticator is known already."""
    # Two tabs at once must not pass the limit together.
    await cursor.execute("select pg_advisory_xact_lock(hashtext('passkeys ' || %s || '/' || %s))", (tenant, username))
    await cursor.execute(
        """insert into passkeys (tenant, passkey_id, username, name, credential_id, public_key, rp_id, aaguid, synced,
               sign_count)
           select %(tenant)s::text, %(passkey_id)s::text, %(username)s::text, %(name)s::text, %(credential_id)s::bytea,
               %(public_key)s::bytea, %(rp_id)s::text, %(aaguid)s::text, %(synced)s::boolean, %(sign_count)s::bigint
           where (select count(*) from passkeys where tenant = %(tenant)s and username = %(username)s
               and removed_at is null) < %(most)s
           on conflict do nothing returning *""",
        {
            "tenant": tenant,
            "passkey_id": opaque_id("psk", tenant, username, new.credential_id.hex()),
            "username": username,
            "name": name,
            "most": MAX_PASSKEYS,
            **new.model_dump(),
        },
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    found = Passkey.model_validate(row)
    await note_event(cursor, tenant, username, "add", by=username, passkey_id=found.passkey_id, detail=name)
    return found


async def remove_passkey(
    cursor: Cursor, tenant: str, username: str, passkey_id: str, *, by: str, reason: str, lost: bool = False
) -> Passkey | None:
    """Let a passkey of the account sign nothing any more; None: it has no such one.

    `lost`: what it signed and has not been used is void, and the account's sessions end.
    """
    await cursor.execute(
        """update passkeys set removed_at = now(), lost = %s
           where tenant = %s and username = %s and passkey_id = %s and removed_at is null returning *""",
        (lost, tenant, username, passkey_id),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    await note_event(cursor, tenant, username, "remove", by=by, passkey_id=passkey_id, detail=reason)
    if lost:
        await end_sessions_of(cursor, tenant, username)
    return Passkey.model_validate(row)


async def note_use(cursor: Cursor, passkey: Passkey, sign_count: int) -> None:
    """Remember how far the authenticator has counted."""
    await cursor.execute(
        "update passkeys set sign_count = %s, last_used_at = now() where tenant = %s and passkey_id = %s",
        (sign_count, passkey.tenant, passkey.passkey_id),
    )


async def note_event(
    cursor: Cursor, tenant: str, username: str, verb: PasskeyVerb, *, by: str, passkey_id: str = "", detail: str = ""
) -> None:
    """Write down what happened."""
    await cursor.execute(
        """insert into passkey_events (tenant, username, passkey_id, verb, changed_by, detail)
           values (%s, %s, %s, %s, %s, %s)""",
        (tenant, username, passkey_id, verb, by, detail[:500]),
    )


async def events_of(cursor: Cursor, tenant: str, username: str) -> tuple[PasskeyEvent, ...]:
    """What happened to the account's passkeys, newest first."""
    await cursor.execute(
        """select event_id, username, passkey_id, verb, changed_by, detail, at from passkey_events
           where tenant = %s and username = %s order by event_id desc limit %s""",
        (tenant, username, MAX_LISTED),
    )
    return tuple(PasskeyEvent.model_validate(row) for row in await cursor.fetchall())


async def is_barred(cursor: Cursor, tenant: str, username: str) -> bool:
    """Whether so many assertions of the account did not hold lately that no more are looked at."""
    await cursor.execute(
        """select count(*) as refused from passkey_events
           where tenant = %s and username = %s and verb = 'refuse' and at > now() - %s""",
        (tenant, username, _BARRED_FOR),
    )
    row = await cursor.fetchone()
    return row is not None and row["refused"] >= MAX_REFUSALS


async def untold_events(cursor: Cursor, tenant: str, channel: str, accounts: Sequence[str]) -> list[PasskeyEvent]:
    """Passkeys that were added or removed lately, of which this channel has not told these accounts, oldest first."""
    await cursor.execute(
        """select e.event_id, e.username, e.passkey_id, e.verb, e.changed_by, e.detail, e.at from passkey_events e
           where e.tenant = %(tenant)s and e.username = any(%(accounts)s) and e.verb in ('add', 'remove')
               and e.at > now() - %(within)s and not exists (select from notices n where n.tenant = e.tenant
                   and n.request_id = 'passkey-' || e.event_id and n.channel = %(channel)s)
           order by e.event_id limit %(most)s""",
        {
            "tenant": tenant,
            "accounts": list(accounts),
            "within": _TOLD_WITHIN,
            "channel": channel,
            "most": MAX_LISTED,
        },
    )
    return [PasskeyEvent.model_validate(row) for row in await cursor.fetchall()]
