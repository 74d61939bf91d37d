"""What approvers' authenticators signed, verified again where a grant is used: by the evidence and the passkeys of now.

Whoever has the vote key alone approves nothing in the name of somebody who has a passkey.
"""

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.passkey import Assertion, text_of
from contracts.vote import Vote
from policy.passkeys import evidence_problem
from policy.votes import HIGHEST_TIER
from store.passkey_challenges import find_assertion
from store.passkeys import find_passkey, had_passkeys

__all__ = ["assertion_problem"]


async def assertion_problem(cursor: AsyncCursor[DictRow], vote: Vote, tier: int) -> str:
    """Why a vote is not signed off as its person signs off; empty when it is, or nothing like that is asked of them."""
    if tier < HIGHEST_TIER:
        return ""
    if vote.assertion is None:
        missing = await had_passkeys(cursor, vote.tenant, vote.person, vote.voted_at)
        return "a vote lacks the passkey of its person" if missing else ""
    text = await find_assertion(cursor, vote.tenant, vote.request_id, vote.decision_id)
    if text is None:
        return "what the passkey of a vote signed is not there"
    problem = evidence_problem(text, vote)
    if problem:
        return f"what the passkey of a vote signed does not hold: {problem}"
    kept = Assertion.model_validate_json(text)
    passkey = await find_passkey(cursor, vote.tenant, kept.passkey_id, vote.person)
    is_theirs = passkey is not None and (kept.public_key, kept.rp_id) == (
        text_of(passkey.public_key),
        passkey.rp_id,
    )
    if passkey is None or not is_theirs:
        return "the passkey of a vote is not its person's"
    return f"the passkey of a vote was lost: {passkey.passkey_id}" if passkey.lost else ""
