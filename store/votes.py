"""Signed votes: written before they are sent, resent until the run has answered."""

from datetime import datetime, timedelta
from typing import Literal

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record
from contracts.vote import SignedVote, Verdict, Vote, VoteAccepted, VoteRefusal, VoteRefused

__all__ = [
    "AlreadyVoted",
    "StoredVote",
    "VoteCast",
    "cast_vote",
    "claim_pending",
    "note_failure",
    "record_answer",
    "refusals_of",
    "votes_on",
]

MAX_VOTES_SHOWN = 100
_FIRST_SENDING_BY_CASTER = timedelta(seconds=4)  # the form sends at once; only what it could not settle is left over


class StoredVote(Record):
    """A vote, and what the run said to it."""

    tenant: str
    decision_id: str
    request_id: str
    run_id: str
    person: str
    display_name: str
    verdict: Verdict
    reason: str
    delegation_id: str = ""
    """Of a delegate's vote."""
    for_person: str = ""
    """For whom a delegate votes; empty where the person votes for themselves."""
    for_name: str = ""
    seen: str = ""
    """Digest of the page as the voter saw it; empty where another front end showed the canonical view."""
    edited: str | None = None
    """Of an edit: the arguments as canonical JSON."""
    jws: str
    """The signed vote as sent."""
    state: Literal["pending", "accepted", "refused"]
    refusal: VoteRefusal | None
    """Why the run refused it."""
    attempts: int
    """How often it was sent to the run."""
    last_error: str
    """Why the last sending failed; empty after a success."""
    cast_at: datetime
    settled_at: datetime | None

    @property
    def whose(self) -> str:
        """The person, and for whom: such as `eve for lena`."""
        return f"{self.person} for {self.for_person}" if self.for_person else self.person


class VoteCast(Record):
    """The vote was written now."""

    kind: Literal["cast"] = "cast"
    vote: StoredVote


class AlreadyVoted(Record):
    """This person has a vote on the request already: it stands, and nothing was written."""

    kind: Literal["already_voted"] = "already_voted"
    vote: StoredVote


async def cast_vote(
    cursor: AsyncCursor[DictRow], vote: Vote, signed: SignedVote, edited: str | None = None
) -> VoteCast | AlreadyVoted:
    """Write a vote; the second of a double click, or of two tabs, finds the first.

    `edited`: of an edit, the canonical JSON over which the vote has the digest.
    """
    await cursor.execute(
        """insert into votes (tenant, decision_id, request_id, run_id, person, display_name, verdict, reason,
               delegation_id, for_person, for_name, seen, edited, jws, next_attempt_at)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now() + %s) on conflict do nothing""",
        (
            vote.tenant,
            vote.decision_id,
            vote.request_id,
            vote.run_id,
            vote.person,
            vote.display_name,
            vote.verdict.value,
            vote.reason,
            vote.delegated.delegation_id if vote.delegated else "",
            vote.delegated.person if vote.delegated else "",
            vote.delegated.display_name if vote.delegated else "",
            vote.seen or "",
            edited,
            signed.jws,
            _FIRST_SENDING_BY_CASTER,
        ),
    )
    is_new = cursor.rowcount == 1
    await cursor.execute(
        """select * from votes where tenant = %s and request_id = %s and person = %s and state <> 'refused'""",
        (vote.tenant, vote.request_id, vote.person),
    )
    row = await cursor.fetchone()
    if row is None:
        # Same decision id, refused in the meantime: the caller counts refusals anew and asks the person again.
        await cursor.execute(
            "select * from votes where tenant = %s and decision_id = %s", (vote.tenant, vote.decision_id)
        )
        row = await cursor.fetchone()
    if row is None:
        raise RuntimeError("a vote that was just written cannot be read: is the transaction of another tenant?")
    return VoteCast(vote=_stored(row)) if is_new else AlreadyVoted(vote=_stored(row))


async def votes_on(cursor: AsyncCursor[DictRow], tenant: str, request_id: str) -> tuple[StoredVote, ...]:
    """The votes on a request, oldest first."""
    await cursor.execute(
        "select * from votes where tenant = %s and request_id = %s order by cast_at, decision_id limit %s",
        (tenant, request_id, MAX_VOTES_SHOWN),
    )
    return tuple(_stored(row) for row in await cursor.fetchall())


async def refusals_of(cursor: AsyncCursor[DictRow], tenant: str, request_id: str, person: str) -> int:
    """How many votes of this person on this request were refused: each makes room for another."""
    await cursor.execute(
        """select count(*) as refused from votes
           where tenant = %s and request_id = %s and person = %s and state = 'refused'""",
        (tenant, request_id, person),
    )
    row = await cursor.fetchone()
    return int(row["refused"]) if row else 0


async def claim_pending(
    cursor: AsyncCursor[DictRow], *, limit: int, first_wait: timedelta, longest_wait: timedelta
) -> tuple[StoredVote, ...]:
    """Take votes that are due, of every tenant (role countersign_dispatch), and set when each is due again.

    The wait doubles with every attempt. Nothing stays locked while the run is asked, and a process that dies with a
    claimed vote delays it by one wait.
    """
    await cursor.execute(
        """update votes set attempts = attempts + 1,
               next_attempt_at = now() + least(%(longest)s, %(first)s * power(2, least(attempts, 20)))
           where (tenant, decision_id) in (
               select tenant, decision_id from votes where state = 'pending' and next_attempt_at <= now()
               order by next_attempt_at limit %(limit)s for update skip locked)
           returning *""",
        {"limit": limit, "first": first_wait, "longest": longest_wait},
    )
    return tuple(_stored(row) for row in await cursor.fetchall())


async def record_answer(
    cursor: AsyncCursor[DictRow], *, tenant: str, decision_id: str, answer: VoteAccepted | VoteRefused
) -> None:
    """Keep what the run answered; a vote that has its answer keeps it."""
    refusal = answer.refusal.value if isinstance(answer, VoteRefused) else ""
    await cursor.execute(
        """update votes set state = %s, refusal = %s, last_error = '', settled_at = now()
           where tenant = %s and decision_id = %s and state = 'pending'""",
        (answer.kind, refusal, tenant, decision_id),
    )


async def note_failure(cursor: AsyncCursor[DictRow], *, tenant: str, decision_id: str, error: str) -> None:
    """Keep why the last sending failed, for operators."""
    await cursor.execute(
        "update votes set last_error = %s where tenant = %s and decision_id = %s and state = 'pending'",
        (error[:500], tenant, decision_id),
    )


def _stored(row: DictRow) -> StoredVote:
    values = {name: row[name] for name in StoredVote.model_fields if name != "refusal"}
    return StoredVote(refusal=row["refusal"] or None, **values)
