"""What an authenticator answered, held against the challenge that was given: whatever does not fit is written down."""

import logging
import secrets
from dataclasses import dataclass

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from pydantic import ValidationError

from approvals.passkeys import NAMELESS, PasskeyDesk, Site, holder_of, new_challenge
from approvals.visitors import Visitor
from approvals.words import REFUSALS
from contracts.base import JsonObject
from contracts.canonical import digest
from contracts.passkey import Assertion, DecisionStatement, PostedAssertion, statement_of, text_of
from contracts.vote import SignedVote, Vote, VoteRefusal
from policy.passkeys import Signed, challenge_of, verify_signed
from policy.votes import HIGHEST_TIER
from store.accounts import Account
from store.passkey_challenges import Purpose, give_challenge, keep_assertion, take_challenge
from store.passkeys import Passkey, find_by_credential, is_barred, note_event, note_use, passkeys_of
from store.sessions import StoredSession

__all__ = [
    "MAX_POSTED",
    "Proven",
    "SignedOff",
    "Signing",
    "ask_decision",
    "ask_sign_in",
    "keep_evidence",
    "new_nonce",
    "prove",
    "sign_off",
    "signing",
]

Cursor = AsyncCursor[DictRow]
MAX_POSTED = 20_000
"""Characters of an answer."""
_BARRED = "too many answers did not hold"
_LOG = logging.getLogger("approvals")


@dataclass(frozen=True)
class Proven:
    """An answer that holds."""

    passkey: Passkey
    posted: PostedAssertion
    statement: str
    """JSON of what the challenge was about."""
    site: Site


@dataclass(frozen=True)
class SignedOff:
    """A vote that may be signed, with the evidence that its person gave."""

    vote: Vote
    evidence: Assertion | None = None
    """None: no passkey was asked for."""


@dataclass(frozen=True)
class Signing:
    """How a decision is signed off."""

    site: Site | None = None
    """Where the person's passkey is asked for; None: no passkey is."""
    problem: str = ""
    """Why it cannot be decided as things are."""


@dataclass(frozen=True)
class _Whose:
    tenant: str
    username: str
    person: str


async def ask_sign_in(
    cursor: Cursor, desk: PasskeyDesk, site: Site, account: Account, token: str, statement: str
) -> JsonObject:
    """The challenge for the second half of a sign-in."""
    challenge = new_challenge()
    await give_challenge(
        cursor, account.tenant, challenge=challenge, holder=holder_of(token), purpose="sign_in", statement=statement
    )
    return desk.use_options(site, await passkeys_of(cursor, account.tenant, account.person), challenge)


async def ask_decision(
    cursor: Cursor, desk: PasskeyDesk, site: Site, visitor: Visitor, statement: DecisionStatement
) -> JsonObject:
    """The challenge for a decision: a digest of everything that is decided, and of the session in which it is."""
    challenge = challenge_of(statement)
    await give_challenge(
        cursor, visitor.tenant, challenge=challenge, holder=holder_of(visitor.token), purpose="decide",
        statement=statement.model_dump_json(),
    )  # fmt: skip
    return desk.use_options(site, await passkeys_of(cursor, visitor.tenant, visitor.session.person), challenge)


async def prove(
    cursor: Cursor, desk: PasskeyDesk, account: Account | Visitor, *, token: str, purpose: Purpose, answer: str
) -> Proven | str:
    """Take the challenge that was given to this token, and see whether a passkey of the person answered it.

    Returns:
        What was proven; or why nothing was, which is written down.
    """
    whose = _whose(account)
    found = await _proven(cursor, desk, whose, holder_of(token), purpose, answer)
    if isinstance(found, str) and found != _BARRED:
        await _refuse(cursor, whose, f"{purpose}: {found}")
    return found


async def sign_off(
    cursor: Cursor, desk: PasskeyDesk, visitor: Visitor, vote: Vote, tier: int, answer: str
) -> SignedOff | VoteRefusal:
    """The vote, with what its person's authenticator signed where the tier wants that. `answer`: as posted."""
    if tier < HIGHEST_TIER:
        return SignedOff(vote)
    if not await passkeys_of(cursor, vote.tenant, vote.person):
        return VoteRefusal.PASSKEY_NEEDED if desk.is_demanded else SignedOff(vote)
    if not answer:
        return VoteRefusal.PASSKEY_MISSING
    found = await prove(cursor, desk, visitor, token=visitor.token, purpose="decide", answer=answer)
    if isinstance(found, str):
        return VoteRefusal.PASSKEY_REFUSED
    statement = DecisionStatement.model_validate_json(found.statement)
    if statement != statement_of(vote, holder_of(visitor.token).hex(), statement.nonce):
        await _refuse(cursor, _whose(visitor), f"decide: another decision was signed than that on {vote.request_id}")
        return VoteRefusal.PASSKEY_REFUSED
    evidence = Assertion(
        statement=statement,
        passkey_id=found.passkey.passkey_id,
        public_key=text_of(found.passkey.public_key),
        rp_id=found.site.rp_id,
        origin=found.site.origin,
        signed=found.posted,
    )
    return SignedOff(vote.model_copy(update={"assertion": digest(evidence)}), evidence)


async def keep_evidence(cursor: Cursor, signed_off: SignedOff, signed: SignedVote) -> None:
    """Keep the evidence beside the vote that was cast."""
    vote = signed_off.vote
    if signed_off.evidence is not None:
        await keep_assertion(
            cursor, vote.tenant, request_id=vote.request_id, decision_id=vote.decision_id, kept=signed_off.evidence,
            jws=signed.jws,
        )  # fmt: skip


async def signing(cursor: Cursor, desk: PasskeyDesk, session: StoredSession, tier: int) -> Signing:
    """What a page says of passkeys on which this person would decide something of that tier."""
    if tier < HIGHEST_TIER:
        return Signing()
    if not await passkeys_of(cursor, session.tenant, session.person):
        return Signing(problem=REFUSALS[VoteRefusal.PASSKEY_NEEDED] if desk.is_demanded else "")
    return Signing(desk.site, problem="" if desk.site else NAMELESS)


def new_nonce() -> str:
    """What makes a statement differ from any other."""
    return secrets.token_urlsafe(32)


async def _proven(
    cursor: Cursor, desk: PasskeyDesk, whose: _Whose, holder: bytes, purpose: Purpose, answer: str
) -> Proven | str:
    # Taken whatever comes of it: a challenge is answered once.
    taken = await take_challenge(cursor, whose.tenant, holder=holder, purpose=purpose)
    if await is_barred(cursor, whose.tenant, whose.username):
        return _BARRED
    if taken is None:
        return "no challenge of this session waits for an answer: it was answered, or is too old"
    if desk.site is None:
        return "the site has no name"
    try:
        posted = PostedAssertion.model_validate_json(answer[:MAX_POSTED])
    except ValidationError:
        return "the answer is not readable"
    passkey = await find_by_credential(cursor, whose.tenant, posted.raw_id, whose.person)
    if passkey is None:
        return "it was answered with none of this person's passkeys"
    challenge, statement = taken
    signed = verify_signed(
        posted,
        challenge=challenge,
        public_key=passkey.public_key,
        rp_id=desk.site.rp_id,
        origin=desk.site.origin,
        sign_count=passkey.sign_count,
    )
    if not isinstance(signed, Signed):
        return f"{passkey.passkey_id}: {signed}"
    await note_use(cursor, passkey, signed.sign_count)
    return Proven(passkey=passkey, posted=posted, statement=statement, site=desk.site)


def _whose(account: Account | Visitor) -> _Whose:
    found = account.session if isinstance(account, Visitor) else account
    return _Whose(found.tenant, found.username, found.person)


async def _refuse(cursor: Cursor, whose: _Whose, why: str) -> None:
    _LOG.warning("passkey refused: %s tenant=%s user=%s", why, whose.tenant, whose.username)
    await note_event(cursor, whose.tenant, whose.username, "refuse", by=whose.username, detail=why)
