"""Public keys of credentials: published by every process that signs, served to whoever verifies. Of no tenant."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record
from settings.signing_keys import SigningKey

__all__ = ["CredentialKey", "key_rows", "list_keys", "publish_keys", "published_keys", "retire_credential_key"]

MAX_KEYS = 50


class CredentialKey(Record):
    """One public key."""

    kid: str
    public_jwk: str
    """JSON."""
    not_before: datetime
    """From when it signs."""
    expires_at: datetime | None
    """When nothing that it signed is valid any more; None: it signs until another one takes over."""
    created_at: datetime = datetime.fromtimestamp(0, UTC)
    retired_at: datetime | None = None


def key_rows(keys: Sequence[SigningKey]) -> list[CredentialKey]:
    """Keys as they are kept here: public halves and times."""
    return [
        CredentialKey(
            kid=key.kid,
            public_jwk=json.dumps(key.public),
            not_before=datetime.fromtimestamp(key.not_before_s, UTC),
            expires_at=None if key.expires_s is None else datetime.fromtimestamp(key.expires_s, UTC),
        )
        for key in keys
    ]


async def publish_keys(cursor: AsyncCursor[DictRow], keys: Sequence[CredentialKey]) -> tuple[str, ...]:
    """Make keys known. An end once stated only moves closer, and a retired key stays retired.

    Returns the ids of those that are retired: whoever signs with one must not go on.
    """
    retired: list[str] = []
    for key in keys:
        await cursor.execute(
            """insert into credential_keys as k (kid, public_jwk, not_before, expires_at)
               values (%(kid)s, %(public_jwk)s, %(not_before)s, %(expires_at)s)
               on conflict (kid) do update set expires_at = least(k.expires_at, excluded.expires_at)
               returning retired_at""",
            key.model_dump(include={"kid", "public_jwk", "not_before", "expires_at"}),
        )
        row = await cursor.fetchone()
        if row is not None and row["retired_at"] is not None:
            retired.append(key.kid)
    return tuple(retired)


async def published_keys(cursor: AsyncCursor[DictRow]) -> tuple[CredentialKey, ...]:
    """The keys with which a credential that is valid now may have been signed, newest first."""
    await cursor.execute(
        """select * from credential_keys where retired_at is null and (expires_at is null or expires_at > now())
           order by not_before desc, kid limit %s""",
        (MAX_KEYS,),
    )
    return tuple(CredentialKey.model_validate(row) for row in await cursor.fetchall())


async def list_keys(cursor: AsyncCursor[DictRow]) -> tuple[CredentialKey, ...]:
    """Every key that there was, newest first."""
    await cursor.execute("select * from credential_keys order by not_before desc, kid limit 500")
    return tuple(CredentialKey.model_validate(row) for row in await cursor.fetchall())


async def retire_credential_key(cursor: AsyncCursor[DictRow], kid: str) -> bool:
    """Withdraw a key now. False: there is none, or it was withdrawn before."""
    await cursor.execute("update credential_keys set retired_at = now() where kid = %s and retired_at is null", (kid,))
    return cursor.rowcount == 1
