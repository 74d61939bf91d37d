"""Emergencies in the store. Every rule about who may do what is decided here, under the row's lock."""

import json
from collections.abc import Sequence
from typing import Any, LiteralString

from psycopg import AsyncCursor
from psycopg.errors import UniqueViolation
from psycopg.rows import DictRow

from contracts.canonical import opaque_id
from contracts.emergency import Emergency
from store.accounts import find_account

__all__ = [
    "LAPSES_S",
    "MIN_REASON",
    "NotAllowed",
    "approve_emergency",
    "end_emergency",
    "lifts_now",
    "list_emergencies",
    "open_emergencies",
    "remind_review",
    "request_emergency",
    "review_emergency",
]

MIN_REASON = 10
LAPSES_S = 900
"""How long a request waits for its two persons, in seconds."""
_PERSONS = 2
_LOCK: LiteralString = """
select emergency_id, scope, agent, tools, lifts, approvers, minutes, reason, state, requested_by,
    requested_at, approved_by, opened_at, expires_at, ended_at, ended_by, reviewed_by, reviewed_at, review
from emergencies where tenant = %s and emergency_id = %s for update"""
_LIST: LiteralString = """
select emergency_id, scope, agent, tools, lifts, approvers, minutes, reason, state, requested_by,
    requested_at, approved_by, opened_at, expires_at, ended_at, ended_by, reviewed_by, reviewed_at, review
from emergencies
where tenant = %s and (%s or state in ('open', 'ended')
    or (state = 'requested' and requested_at > now() - make_interval(secs => %s)))
order by requested_at desc limit %s"""
_OPEN: LiteralString = """
select emergency_id, scope, agent, tools, lifts, approvers, minutes, reason, state, requested_by,
    requested_at, approved_by, opened_at, expires_at, ended_at, ended_by, reviewed_by, reviewed_at, review
from emergencies where tenant = %s and state = 'open' and expires_at > now() order by opened_at limit 10"""
Cursor = AsyncCursor[DictRow]


class NotAllowed(Exception):  # noqa: N818 - said to a person
    """The person may not do this now; the message says why."""


async def request_emergency(
    cursor: Cursor, tenant: str, scope: str, declared: dict[str, Any], *, minutes: int, reason: str, person: str
) -> Emergency:
    """Ask for an emergency of a declared scope: nothing is lifted yet.

    Raises:
        NotAllowed: no good reason, too long, or one of this scope is requested or open.
    """
    if len(reason.strip()) < MIN_REASON:
        raise NotAllowed(f"give a reason of at least {MIN_REASON} characters: it is shown to everybody")
    if not 1 <= minutes <= declared["max_minutes"]:
        raise NotAllowed(f"{scope} is open for at most {declared['max_minutes']} minutes")
    await _lapse(cursor, tenant)
    await cursor.execute("select count(*) as n, now() as now from emergencies where tenant = %s", (tenant,))
    row = await cursor.fetchone()
    emergency_id = opaque_id("emg", tenant, scope, str(row))
    try:
        await cursor.execute(
            """insert into emergencies (tenant, emergency_id, scope, agent, tools, lifts, approvers, minutes, reason,
                   state, requested_by)
               values (%s, %s, %s, %s, %s, %s, %s, %s, %s, 'requested', %s)""",
            (tenant, emergency_id, scope, declared["agent"], list(declared["tools"]), list(declared["lifts"]),
             declared["approvers"], minutes, reason.strip(), person),
        )  # fmt: skip
    except UniqueViolation as error:
        raise NotAllowed(f"an emergency of the scope {scope} is requested or open already") from error
    await _alarm(cursor, tenant, "break_glass_requested", emergency_id, scope=scope, by=person)
    return await _locked(cursor, tenant, emergency_id)


async def approve_emergency(cursor: Cursor, tenant: str, emergency_id: str, *, username: str, person: str) -> Emergency:
    """One person's yes. The second opens it, from now for its minutes.

    Raises:
        NotAllowed: not of the group, asked for it, said so before, or it is too late.
    """
    await _lapse(cursor, tenant)
    found = await _locked(cursor, tenant, emergency_id)
    account = await find_account(cursor, tenant, username)
    if found.state != "requested":
        raise NotAllowed(f"it is {found.state}, not requested")
    if account is None or account.disabled or found.approvers not in account.groups:
        raise NotAllowed(f"two persons of {found.approvers} open it; you are not of that group")
    people = {name.casefold() for name in (found.requested_by, *found.approved_by)}
    if person.casefold() in people:
        raise NotAllowed("whoever asked for it cannot approve it, and nobody counts twice")
    approved = [*found.approved_by, person]
    await cursor.execute(
        "update emergencies set approved_by = %s where tenant = %s and emergency_id = %s",
        (approved, tenant, emergency_id),
    )
    if len(approved) >= _PERSONS:
        await cursor.execute(
            """update emergencies set state = 'open', opened_at = now(),
                   expires_at = now() + make_interval(mins => minutes)
               where tenant = %s and emergency_id = %s""",
            (tenant, emergency_id),
        )
        await _changed(cursor, tenant, found.agent)
        await _alarm(
            cursor, tenant, "break_glass_opened", emergency_id, scope=found.scope, by=", ".join(approved),
            lifts=list(found.lifts), agent=found.agent, minutes=found.minutes,
        )  # fmt: skip
    return await _locked(cursor, tenant, emergency_id)


async def end_emergency(cursor: Cursor, tenant: str, emergency_id: str, *, person: str | None) -> Emergency | None:
    """End it: by a person at any time, by the timer (None) when its time is over. Again changes nothing.

    Returns:
        What it is now; None when there is none.
    """
    try:
        found = await _locked(cursor, tenant, emergency_id)
    except NotAllowed:
        return None
    await cursor.execute(
        """update emergencies set state = 'ended', ended_at = least(now(), expires_at), ended_by = %s::text
           where tenant = %s and emergency_id = %s and state = 'open' and (%s::text is not null or expires_at <= now())
           returning emergency_id""",
        (person, tenant, emergency_id, person),
    )
    if await cursor.fetchone() is None:
        return found
    await _changed(cursor, tenant, found.agent)
    await _alarm(cursor, tenant, "break_glass_ended", emergency_id, scope=found.scope, by=person or "its time")
    return await _locked(cursor, tenant, emergency_id)


async def review_emergency(cursor: Cursor, tenant: str, emergency_id: str, *, person: str, note: str) -> Emergency:
    """Close the review: somebody who neither asked for it nor opened it says what they found.

    Raises:
        NotAllowed: it is not over, was reviewed, or the person had a part in it.
    """
    found = await end_emergency(cursor, tenant, emergency_id, person=None)
    if found is None:
        raise NotAllowed("there is no such emergency")
    if found.state != "ended":
        raise NotAllowed(f"it is {found.state}: what is reviewed has ended")
    if person.casefold() in {name.casefold() for name in (found.requested_by, *found.approved_by)}:
        raise NotAllowed("whoever asked for it or opened it does not review it")
    if len(note.strip()) < MIN_REASON:
        raise NotAllowed(f"say in at least {MIN_REASON} characters what was done and whether it was right")
    await cursor.execute(
        """update emergencies set state = 'reviewed', reviewed_by = %s, reviewed_at = now(), review = %s
           where tenant = %s and emergency_id = %s""",
        (person, note.strip(), tenant, emergency_id),
    )
    return await _locked(cursor, tenant, emergency_id)


async def remind_review(cursor: Cursor, tenant: str, emergency_id: str) -> Emergency | None:
    """Raise an alarm as long as nobody has reviewed it."""
    found = await end_emergency(cursor, tenant, emergency_id, person=None)
    if found is not None and found.state == "ended":
        await _alarm(cursor, tenant, "break_glass_unreviewed", emergency_id, scope=found.scope, by="")
    return found


async def list_emergencies(cursor: Cursor, tenant: str, *, every: bool = False, limit: int = 100) -> list[Emergency]:
    """Those that are requested, open or not reviewed; or all. The newest first."""
    await cursor.execute(_LIST, (tenant, every, LAPSES_S, limit))
    return [Emergency.model_validate(row) for row in await cursor.fetchall()]


async def open_emergencies(cursor: Cursor, tenant: str) -> list[Emergency]:
    """Those that lift something now, by the store's clock."""
    await cursor.execute(_OPEN, (tenant,))
    return [Emergency.model_validate(row) for row in await cursor.fetchall()]


async def lifts_now(cursor: Cursor, tenant: str, agent: str, tool: str) -> dict[str, Sequence[str]]:
    """What open emergencies lift for a tool, by scope: by the store's clock, whatever a timer did or did not do."""
    await cursor.execute(
        """select scope, lifts from emergencies
           where tenant = %s and agent = %s and state = 'open' and expires_at > now() and %s = any(tools)""",
        (tenant, agent, tool),
    )
    return {str(row["scope"]): list(row["lifts"]) for row in await cursor.fetchall()}


async def _locked(cursor: Cursor, tenant: str, emergency_id: str) -> Emergency:
    await cursor.execute(_LOCK, (tenant, emergency_id))
    row = await cursor.fetchone()
    if row is None:
        raise NotAllowed("there is no such emergency")
    return Emergency.model_validate(row)


async def _lapse(cursor: Cursor, tenant: str) -> None:
    """Requests that nobody opened in time, and those whose time is over, give way to new ones."""
    await cursor.execute(
        """update emergencies set state = 'lapsed'
           where tenant = %s and state = 'requested' and requested_at <= now() - make_interval(secs => %s)""",
        (tenant, LAPSES_S),
    )
    await cursor.execute(
        "update emergencies set state = 'ended', ended_at = expires_at where tenant = %s and state = 'open'"
        " and expires_at <= now()",
        (tenant,),
    )


async def _changed(cursor: Cursor, tenant: str, agent: str) -> None:
    """A call that was judged before is judged again: admission compares the version of the agent's state."""
    await cursor.execute(
        "update agent_states set version = version + 1 where tenant = %s and agent = %s", (tenant, agent)
    )


async def _alarm(cursor: Cursor, tenant: str, kind: str, emergency_id: str, **detail: object) -> None:
    await cursor.execute(
        "insert into alarms (tenant, kind, subject, detail) values (%s, %s, %s, %s)",
        (tenant, kind, emergency_id, json.dumps(detail)),
    )
