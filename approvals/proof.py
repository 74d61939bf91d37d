"""Whether a session proves enough, lately, for acts that are no votes and that nobody takes back as they were.

By page, API and command line alike: a sign-in of the last minutes, with a passkey of whoever has one.
"""

from datetime import UTC, datetime

from starlette.exceptions import HTTPException

from approvals.visitors import Visitor
from contracts.vote import VoteRefusal
from policy.votes import HIGHEST_TIER, SIGN_IN_TIER_4_S, sign_in_refusal
from store.database import Database
from store.passkeys import passkeys_of
from store.sessions import StoredSession

__all__ = ["proof_missing", "require_proof", "unproven"]

_STALE = f"You signed in too long ago for this: it takes a sign-in of the last {SIGN_IN_TIER_4_S // 60} minutes."
_NO_PASSKEY = "You have a passkey: this takes a sign-in with it."
_WEAK = "This takes a sign-in with a second factor."


async def unproven(database: Database, visitor: Visitor) -> str:
    """What this visitor's sign-in lacks, in a sentence; empty: nothing."""
    async with database.tenant(visitor.tenant) as cursor:
        has_passkey = bool(await passkeys_of(cursor, visitor.tenant, visitor.session.person))
    return proof_missing(visitor.session, has_passkey=has_passkey)


async def require_proof(database: Database, caller: Visitor) -> None:
    """Of a caller of the API. Raises HTTPException 403: the sign-in lacks something."""
    lacking = await unproven(database, caller)
    if lacking:
        raise HTTPException(403, f"{lacking} Sign in again, then do this.")


def proof_missing(session: StoredSession, *, has_passkey: bool) -> str:
    """The same, of whoever has a passkey or has none."""
    ago_s = (datetime.now(UTC) - session.authenticated_at).total_seconds()
    strength = "multi_factor" if session.multi_factor else "password"
    match sign_in_refusal(HIGHEST_TIER, ago_s, session.issuer, strength):
        case None:
            return _NO_PASSKEY if has_passkey and not session.multi_factor else ""
        case VoteRefusal.WEAK_SIGN_IN:
            return _WEAK
        case _:
            return _STALE
