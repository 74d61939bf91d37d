"""Standing approvals in the store: proposed, decided, revoked under the row's lock, and what each use was."""

import json
from datetime import UTC, datetime
from typing import LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from pydantic import ValidationError

from contracts.base import Record
from contracts.canonical import canonical_bytes, digest, digest_bytes
from contracts.standing import StandingState, StandingTerms
from contracts.vote import SignedVote, Verdict, Vote
from settings.standing import StandingScope
from store.journal import CallKey

__all__ = [
    "DECIDED_WITHIN_S",
    "Cursor",
    "StandingCandidate",
    "StandingNotAllowed",
    "StandingShown",
    "StandingUsed",
    "StandingVoteShown",
    "find_standing",
    "keep_vote",
    "list_standing",
    "not_declared",
    "propose_standing",
    "proposed_now",
    "revoke_standing",
    "standing_for",
    "terms_of",
    "uses_in_run",
    "uses_of",
    "votes_for",
]

MIN_REASON = 10
DECIDED_WITHIN_S = 72 * 3_600
"""How long a proposal waits for its votes."""
_MAX_CANDIDATES = 20
_DAY_S = 86_400
Cursor = AsyncCursor[DictRow]

_SHOWN: LiteralString = """
select s.*, now() as read_at,
    (select count(*) from standing_uses u where u.tenant = s.tenant and u.standing_id = s.standing_id) as uses,
    (select coalesce(sum(u.amount_minor), 0)::bigint from standing_uses u
        where u.tenant = s.tenant and u.standing_id = s.standing_id) as moved_minor
from standing_approvals s where s.tenant = %(tenant)s"""
_CANDIDATES: LiteralString = """
select s.standing_id, s.terms, s.digest, r.interested::jsonb as interested,
    (select coalesce(json_agg(v.jws order by v.cast_at, v.person), '[]') from standing_votes v
        where v.tenant = s.tenant and v.standing_id = s.standing_id and v.verdict = 'approve') as votes,
    (select count(*) from standing_uses u where u.tenant = s.tenant and u.standing_id = s.standing_id) as uses,
    (select coalesce(sum(u.amount_minor), 0)::bigint from standing_uses u
        where u.tenant = s.tenant and u.standing_id = s.standing_id) as moved_minor,
    mine.number as mine
from standing_approvals s
    join runs r on r.tenant = s.tenant and r.run_id = %(run)s
    left join standing_uses mine on mine.tenant = s.tenant and mine.run_id = r.run_id and mine.step = %(step)s
        and mine.call = %(call)s
where s.tenant = %(tenant)s and s.agent = %(agent)s and s.tool = %(tool)s and s.state = 'granted' and s.until > now()
    and (mine.standing_id is null or mine.standing_id = s.standing_id)
order by s.decided_at, s.standing_id limit %(limit)s"""


class StandingNotAllowed(Exception):  # noqa: N818 - said to a person
    """It cannot be done so; the message says why."""


class StandingShown(Record):
    """One standing approval as stored. Only its terms, and the votes that verify over them, say what holds."""

    tenant: str
    standing_id: str
    agent: str
    tool: str
    terms: str
    digest: str
    state: StandingState
    proposed_by: str
    proposed_at: datetime
    decide_until: datetime
    until: datetime
    decided_at: datetime | None
    revoked_by: str | None
    revoked_at: datetime | None
    revoke_reason: str
    uses: int
    moved_minor: int
    read_at: datetime
    """The store's time when this was read."""


class StandingVoteShown(Record):
    """One person's decision about it."""

    person: str
    display_name: str
    verdict: Verdict
    reason: str
    jws: str
    seen: str
    """Digest of the page on which they decided; empty: on none of ours."""
    cast_at: datetime


class StandingUsed(Record):
    """One call that was admitted under it."""

    number: int
    run_id: str
    step: int
    call: int
    amount_minor: int
    used_at: datetime
    state: str | None
    """Of the effect; None for a read, or where it was not begun."""


class StandingCandidate(Record):
    """What may stand for people at one call, as the gate reads it: nothing of it is verified yet."""

    standing_id: str
    terms: str
    digest: str
    interested: tuple[str, ...]
    """Of the run: their votes do not count for it."""
    votes: tuple[str, ...]
    """Signed approvals."""
    uses: int
    moved_minor: int
    mine: int | None
    """The use that this very call is, where it was admitted before."""


def terms_of(text: str, agreed: str) -> StandingTerms | None:
    """The terms, if they are the canonical text of that digest."""
    if digest_bytes(text.encode()) != agreed:
        return None
    try:
        terms = StandingTerms.model_validate_json(text)
    except ValidationError:
        return None
    return terms if digest(terms) == agreed else None


def not_declared(terms: StandingTerms, scope: StandingScope | None) -> str:
    """What of the terms the settings do not allow (any more); empty where they allow all of it."""
    if scope is None:
        return f"the scope {terms.scope} is not declared in settings/standing.yaml"
    if terms.agent != scope.agent or terms.tool not in scope.tools:
        return f"{terms.scope} is not about {terms.tool} of {terms.agent}"
    if terms.rung.id not in scope.rungs:
        return f"{terms.scope} does not stand for {terms.rung.id}"
    more = {one.policy for one in terms.policies} - set(scope.policies)
    if more:
        return f"{terms.scope} does not answer {', '.join(sorted(more))}"
    if terms.max_tier > scope.max_tier:
        return f"{terms.scope} covers tier {scope.max_tier} at most"
    if terms.max_uses > scope.max_uses:
        return f"{terms.scope} may be used {scope.max_uses} times at most"
    if terms.until - terms.proposed_at > scope.max_days * _DAY_S:
        return f"{terms.scope} holds {scope.max_days} days at most"
    if terms.money is not None and terms.money.total_minor > scope.money.get(terms.money.currency, 0):
        most = scope.money.get(terms.money.currency, 0)
        return f"{terms.scope} moves at most {most} minor units of {terms.money.currency} in all"
    return ""


async def propose_standing(cursor: Cursor, terms: StandingTerms) -> StandingShown:
    """Put it before people. It holds nothing before they have agreed.

    Raises:
        StandingNotAllowed: no good reason, or its time contradicts itself.
    """
    if len(terms.reason.strip()) < MIN_REASON:
        raise StandingNotAllowed(f"say in at least {MIN_REASON} characters why: everybody who decides reads it")
    if not terms.proposed_at < terms.until or terms.decide_until - terms.proposed_at > DECIDED_WITHIN_S:
        raise StandingNotAllowed("it must end after it begins, and be decided within three days")
    await cursor.execute(
        """insert into standing_approvals (tenant, standing_id, agent, tool, terms, digest, state, proposed_by,
               decide_until, until)
           values (%s, %s, %s, %s, %s, %s, 'proposed', %s, %s, %s)""",
        (terms.tenant, terms.standing_id, terms.agent, terms.tool, canonical_bytes(terms).decode(), digest(terms),
         terms.proposed_by, _moment(terms.decide_until), _moment(terms.until)),
    )  # fmt: skip
    await _alarm(cursor, terms.tenant, "standing_proposed", terms.standing_id, by=terms.proposed_by, tool=terms.tool)
    return await find_standing(cursor, terms.tenant, terms.standing_id)


async def proposed_now(cursor: Cursor, tenant: str) -> tuple[StandingShown, ...]:
    """Those that still wait for votes, the oldest first."""
    await cursor.execute(
        _SHOWN + " and s.state = 'proposed' and s.decide_until > now() order by s.proposed_at limit 100",
        {"tenant": tenant},
    )
    return tuple(StandingShown.model_validate(row) for row in await cursor.fetchall())


async def find_standing(cursor: Cursor, tenant: str, standing_id: str, *, lock: bool = False) -> StandingShown:
    """One of them. With `lock` nobody else decides, uses or revokes it until the transaction ends.

    Raises:
        StandingNotAllowed: there is none.
    """
    if lock:
        await cursor.execute(
            "select 1 from standing_approvals where tenant = %s and standing_id = %s for update", (tenant, standing_id)
        )
    await cursor.execute(_SHOWN + " and s.standing_id = %(id)s", {"tenant": tenant, "id": standing_id})
    row = await cursor.fetchone()
    if row is None:
        raise StandingNotAllowed("there is no such standing approval")
    return StandingShown.model_validate(row)


async def list_standing(cursor: Cursor, tenant: str, *, every: bool = False, limit: int = 100) -> list[StandingShown]:
    """Those that hold or wait for people; or all. The newest first."""
    narrowed: LiteralString = """
        and (%(every)s or (s.state = 'granted' and s.until > now())
            or (s.state = 'proposed' and s.decide_until > now()))
        order by s.proposed_at desc, s.standing_id limit %(limit)s"""
    await cursor.execute(_SHOWN + narrowed, {"tenant": tenant, "every": every, "limit": limit})
    return [StandingShown.model_validate(row) for row in await cursor.fetchall()]


async def votes_for(cursor: Cursor, tenant: str, standing_id: str) -> list[StandingVoteShown]:
    """What people said, oldest first."""
    await cursor.execute(
        """select person, display_name, verdict, reason, jws, seen, cast_at from standing_votes
           where tenant = %s and standing_id = %s order by cast_at, person limit 100""",
        (tenant, standing_id),
    )
    return [StandingVoteShown.model_validate(row) for row in await cursor.fetchall()]


async def uses_of(cursor: Cursor, tenant: str, standing_id: str, limit: int = 200) -> list[StandingUsed]:
    """The calls under it, newest first."""
    await cursor.execute(
        """select u.number, u.run_id, u.step, u.call, u.amount_minor, u.used_at, e.state from standing_uses u
           left join effects e using (tenant, run_id, step, call)
           where u.tenant = %s and u.standing_id = %s order by u.number desc limit %s""",
        (tenant, standing_id, limit),
    )
    return [StandingUsed.model_validate(row) for row in await cursor.fetchall()]


async def uses_in_run(cursor: Cursor, tenant: str, run_id: str) -> list[tuple[str, StandingUsed]]:
    """The calls of a run that stood under standing approvals, each with the approval's id."""
    await cursor.execute(
        """select u.standing_id, u.number, u.run_id, u.step, u.call, u.amount_minor, u.used_at, e.state
           from standing_uses u left join effects e using (tenant, run_id, step, call)
           where u.tenant = %s and u.run_id = %s order by u.step, u.call limit 100""",
        (tenant, run_id),
    )
    rows = await cursor.fetchall()
    return [(str(row.pop("standing_id")), StandingUsed.model_validate(row)) for row in rows]


async def keep_vote(
    cursor: Cursor, standing_id: str, vote: Vote, signed: SignedVote, state: StandingState, *, tool: str
) -> None:
    """Keep a vote that was judged while the row was locked, and what it has come to with it."""
    await cursor.execute(
        """insert into standing_votes (tenant, standing_id, person, display_name, verdict, reason, jws, seen)
           values (%s, %s, %s, %s, %s, %s, %s, %s)""",
        (vote.tenant, standing_id, vote.person, vote.display_name, vote.verdict.value, vote.reason, signed.jws,
         vote.seen or ""),
    )  # fmt: skip
    if state != "proposed":
        await cursor.execute(
            """update standing_approvals set state = %s, decided_at = now()
               where tenant = %s and standing_id = %s and state = 'proposed'""",
            (state, vote.tenant, standing_id),
        )
        await _alarm(cursor, vote.tenant, f"standing_{state}", standing_id, by=vote.person, tool=tool)


async def revoke_standing(cursor: Cursor, tenant: str, standing_id: str, *, person: str, reason: str) -> StandingShown:
    """Take it back, from now on and for good: no call is admitted under it after this commits.

    Raises:
        StandingNotAllowed: there is none, it is over already, or no reason is given.
    """
    found = await find_standing(cursor, tenant, standing_id, lock=True)
    if found.state not in ("proposed", "granted"):
        raise StandingNotAllowed(f"it is {found.state} already")
    if len(reason.strip()) < 3:  # noqa: PLR2004 - as short as the reason of a denial may be
        raise StandingNotAllowed("say why, in at least three characters")
    await cursor.execute(
        """update standing_approvals set state = 'revoked', revoked_by = %s, revoked_at = now(), revoke_reason = %s
           where tenant = %s and standing_id = %s""",
        (person, reason.strip(), tenant, standing_id),
    )
    await _alarm(cursor, tenant, "standing_revoked", standing_id, by=person, tool=found.tool)
    return await find_standing(cursor, tenant, standing_id)


async def standing_for(cursor: Cursor, key: CallKey, agent: str, tool: str) -> list[StandingCandidate]:
    """What may stand for people at a call; read only where policy asks for people."""
    await cursor.execute(
        _CANDIDATES,
        {"tenant": key.tenant, "run": key.run_id, "step": key.step, "call": key.call, "agent": agent, "tool": tool,
         "limit": _MAX_CANDIDATES},
    )  # fmt: skip
    return [StandingCandidate.model_validate(row) for row in await cursor.fetchall()]


def _moment(at_s: int) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)


async def _alarm(cursor: Cursor, tenant: str, kind: str, standing_id: str, **detail: object) -> None:
    await cursor.execute(
        "insert into alarms (tenant, kind, subject, detail) values (%s, %s, %s, %s)",
        (tenant, kind, standing_id, json.dumps(detail)),
    )
