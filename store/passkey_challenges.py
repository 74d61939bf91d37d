"""Challenges that wait for an authenticator's signature, each answered once; and the evidence kept beside votes."""

from datetime import datetime, timedelta
from typing import Literal

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record
from contracts.canonical import canonical_bytes
from contracts.passkey import Assertion

__all__ = ["LIFETIME", "KeptAssertion", "Purpose", "assertions_on", "find_assertion", "give_challenge",
           "keep_assertion", "pending_statement", "take_challenge"]  # fmt: skip

Cursor = AsyncCursor[DictRow]
Purpose = Literal["add", "sign_in", "decide"]
LIFETIME = timedelta(minutes=5)
"""How long a challenge may be answered."""
MAX_LISTED = 100


class KeptAssertion(Record):
    """The evidence beside a vote, and the vote."""

    decision_id: str
    body: str
    """`Assertion` as canonical JSON, byte for byte."""
    jws: str
    """The signed vote, which carries the digest of `body`."""
    kept_at: datetime


async def give_challenge(
    cursor: Cursor, tenant: str, *, challenge: bytes, holder: bytes, purpose: Purpose, statement: str = "{}"
) -> None:
    """Remember a challenge. A holder has one for each purpose: a new one takes the place of the last."""
    await cursor.execute(
        """delete from passkey_challenges where tenant = %s
               and (expires_at <= now() or (holder = %s and purpose = %s))""",
        (tenant, holder, purpose),
    )
    await cursor.execute(
        """insert into passkey_challenges (tenant, challenge, holder, purpose, statement, expires_at)
           values (%s, %s, %s, %s, %s, now() + %s)""",
        (tenant, challenge, holder, purpose, statement, LIFETIME),
    )


async def pending_statement(cursor: Cursor, tenant: str, *, holder: bytes, purpose: Purpose) -> str | None:
    """What the challenge is about that this holder was given; it stays."""
    await cursor.execute(
        "select statement from passkey_challenges where tenant = %s and holder = %s and purpose = %s",
        (tenant, holder, purpose),
    )
    row = await cursor.fetchone()
    return str(row["statement"]) if row else None


async def take_challenge(cursor: Cursor, tenant: str, *, holder: bytes, purpose: Purpose) -> tuple[bytes, str] | None:
    """The challenge that this holder was given, with what it is about; it is none afterwards. None: there is none."""
    await cursor.execute(
        """delete from passkey_challenges where tenant = %s and holder = %s and purpose = %s
           returning challenge, statement, expires_at > now() as is_fresh""",
        (tenant, holder, purpose),
    )
    row = await cursor.fetchone()
    return (bytes(row["challenge"]), str(row["statement"])) if row and row["is_fresh"] else None


async def keep_assertion(
    cursor: Cursor, tenant: str, *, request_id: str, decision_id: str, kept: Assertion, jws: str
) -> None:
    """Keep the evidence of a vote, once."""
    await cursor.execute(
        """insert into vote_assertions (tenant, request_id, decision_id, body, jws) values (%s, %s, %s, %s, %s)
           on conflict do nothing""",
        (tenant, request_id, decision_id, canonical_bytes(kept).decode(), jws),
    )


async def find_assertion(cursor: Cursor, tenant: str, request_id: str, decision_id: str) -> str | None:
    """The evidence of a vote, byte for byte as kept."""
    await cursor.execute(
        "select body from vote_assertions where tenant = %s and request_id = %s and decision_id = %s",
        (tenant, request_id, decision_id),
    )
    row = await cursor.fetchone()
    return str(row["body"]) if row else None


async def assertions_on(cursor: Cursor, tenant: str, request_id: str) -> tuple[KeptAssertion, ...]:
    """The evidence beside the votes on a request, oldest first."""
    await cursor.execute(
        """select decision_id, body, jws, kept_at from vote_assertions
           where tenant = %s and request_id = %s order by kept_at, decision_id limit %s""",
        (tenant, request_id, MAX_LISTED),
    )
    return tuple(KeptAssertion.model_validate(row) for row in await cursor.fetchall())
