"""Delegations in the store. Every rule about who may name whom is decided here, under a lock of the tenant's."""

from datetime import datetime, timedelta
from typing import LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.canonical import opaque_id
from contracts.delegation import Delegation, NewDelegation
from contracts.vote import Vote
from store.accounts import Account, approves_as, find_account

__all__ = [
    "MAX_AT_ONCE",
    "MAX_DAYS",
    "NotDelegated",
    "add_delegation",
    "delegates_of_groups",
    "delegations_of",
    "delegators_of",
    "end_delegation",
    "find_delegation",
    "groups_lent",
    "groups_of_vote",
    "list_delegations",
]

MAX_DAYS = 60
"""Longest time of one delegation: who is away for longer has another job, which accounts and groups say."""
MAX_AHEAD_DAYS = 366
MAX_AT_ONCE = 5
"""Most delegations of one approver that are planned or in force."""
MAX_LISTED = 500
MIN_REASON = 3
Cursor = AsyncCursor[DictRow]

_COLUMNS: LiteralString = """
    select d.delegation_id, d.approver, coalesce(a.display_name, d.approver) as approver_name, d.delegate,
        coalesce(b.display_name, d.delegate) as delegate_name, d.from_at, d.until_at, d.reason, d.created_by,
        d.created_at, d.ended_at, d.ended_by,
        case when d.ended_at is not null then 'ended' when d.until_at <= now() then 'over'
            when d.from_at > now() then 'planned' else 'in_force' end as state
    from delegations d
        left join accounts a on a.tenant = d.tenant and a.username = d.approver
        left join accounts b on b.tenant = d.tenant and b.username = d.delegate
    where d.tenant = %(tenant)s
"""
_DELEGATES: LiteralString = """
    select distinct d.delegate from delegations d
        join accounts a on a.tenant = d.tenant and a.username = d.approver and not a.disabled
    where d.tenant = %(tenant)s and a.groups && %(groups)s
"""
_LENT: LiteralString = """
    select distinct unnest(a.groups) as name from delegations d
        join accounts a on a.tenant = d.tenant and a.username = d.approver
    where d.tenant = %(tenant)s and d.delegate = %(delegate)s and not a.disabled and 'approve' = any(a.roles)
"""
_ALIVE: LiteralString = " and d.ended_at is null and d.until_at > now()"
_IN_FORCE: LiteralString = _ALIVE + " and d.from_at <= now()"


class NotDelegated(Exception):  # noqa: N818 - said to a person
    """This delegation cannot be made or ended by this person; the message says why."""


async def add_delegation(
    cursor: Cursor, tenant: str, new: NewDelegation, *, by: str, administers: bool = False
) -> Delegation:
    """Let somebody decide in place of an approver. `by` is the person who says so.

    Raises:
        NotDelegated: somebody may not approve, is the same person, is away as well, or the time does not fit.
    """
    # Two that are made at once are judged one after another.
    await cursor.execute("select pg_advisory_xact_lock(hashtextextended('delegations ' || %s, 0))", (tenant,))
    away = await _approver(cursor, tenant, new.approver, "is away")
    there = await _approver(cursor, tenant, new.delegate, "decides")
    await cursor.execute("select now() as now")
    row = await cursor.fetchone()
    now: datetime = row["now"] if row else new.until_at
    start, until_at = max(new.from_at or now, now), new.until_at
    _check_time(start, until_at, now)
    if away.person.casefold() == there.person.casefold():
        raise NotDelegated("both accounts are of one person: name somebody else")
    if by != away.person and not administers:
        raise NotDelegated("an approver names who decides for them; for others it takes the role administer")
    if by.casefold() == there.person.casefold():
        raise NotDelegated("nobody takes a delegation for themselves: the approver names you, or an administrator")
    if len(new.reason.strip()) < MIN_REASON:
        raise NotDelegated(f"say why in at least {MIN_REASON} characters, such as: vacation")
    mine = [
        one for one in await list_delegations(cursor, tenant, account=away.username) if one.approver == away.username
    ]
    if len(mine) >= MAX_AT_ONCE:
        raise NotDelegated(f"{away.username} has {MAX_AT_ONCE} delegations already: end one first")
    for one in await list_delegations(cursor, tenant, account=there.username):
        if one.approver == there.username and one.from_at < until_at and start < one.until_at:
            raise NotDelegated(f"{there.username} is away as well: {one.delegate} decides for them meanwhile")
    delegation_id = opaque_id("dlg", tenant, away.username, there.username, now.isoformat())
    await cursor.execute(
        """insert into delegations (tenant, delegation_id, approver, delegate, from_at, until_at, reason, created_by)
           values (%s, %s, %s, %s, %s, %s, %s, %s)""",
        (tenant, delegation_id, away.username, there.username, start, until_at, new.reason.strip(), by),
    )
    return await _found(cursor, tenant, delegation_id)


async def end_delegation(
    cursor: Cursor, tenant: str, delegation_id: str, *, account: str, person: str, administers: bool
) -> Delegation:
    """End it now: who is away, who decides meanwhile, or an administrator. Votes under it that are unspent are void.

    Raises:
        NotDelegated: there is none, or it is somebody else's.
    """
    found = await _found(cursor, tenant, delegation_id)
    if not administers and account not in (found.approver, found.delegate):
        raise NotDelegated("it is somebody else's: the approver, the delegate or an administrator ends it")
    if found.state in ("ended", "over"):
        return found
    await cursor.execute(
        """update delegations set ended_at = now(), ended_by = %s
           where tenant = %s and delegation_id = %s and ended_at is null""",
        (person, tenant, delegation_id),
    )
    return await _found(cursor, tenant, delegation_id)


async def find_delegation(cursor: Cursor, tenant: str, delegation_id: str) -> Delegation | None:
    """One delegation, or None."""
    await cursor.execute(_COLUMNS + " and d.delegation_id = %(id)s", {"tenant": tenant, "id": delegation_id})
    row = await cursor.fetchone()
    return Delegation.model_validate(row) if row else None


async def list_delegations(
    cursor: Cursor, tenant: str, *, account: str | None = None, past: bool = False
) -> tuple[Delegation, ...]:
    """Delegations that are planned or in force, or all; of one account in either part, or everybody's. Newest first."""
    where: LiteralString = "" if past else _ALIVE
    if account is not None:
        where += " and %(account)s in (d.approver, d.delegate)"
    await cursor.execute(
        _COLUMNS + where + " order by d.created_at desc, d.delegation_id limit %(limit)s",
        {"tenant": tenant, "account": account, "limit": MAX_LISTED},
    )
    return tuple(Delegation.model_validate(row) for row in await cursor.fetchall())


async def delegations_of(cursor: Cursor, tenant: str, delegate: str) -> tuple[Delegation, ...]:
    """Delegations under which this account may decide now."""
    await cursor.execute(
        _COLUMNS + _IN_FORCE + " and d.delegate = %(delegate)s order by d.from_at, d.delegation_id limit %(limit)s",
        {"tenant": tenant, "delegate": delegate, "limit": MAX_LISTED},
    )
    return tuple(Delegation.model_validate(row) for row in await cursor.fetchall())


async def delegators_of(cursor: Cursor, tenant: str, delegate: str) -> tuple[tuple[Delegation, Account], ...]:
    """The same with the account of each who is away, as it is now; without those who may not decide themselves."""
    found: list[tuple[Delegation, Account]] = []
    for one in await delegations_of(cursor, tenant, delegate):
        account = await find_account(cursor, tenant, one.approver)
        if account is not None and approves_as(account, account.person):
            found.append((one, account))
    return tuple(found)


async def groups_lent(cursor: Cursor, tenant: str, delegate: str) -> tuple[str, ...]:
    """Groups as which this account may decide for others now."""
    await cursor.execute(_LENT + _IN_FORCE + " order by 1", {"tenant": tenant, "delegate": delegate})
    return tuple(row["name"] for row in await cursor.fetchall())


async def delegates_of_groups(cursor: Cursor, tenant: str, groups: tuple[str, ...]) -> frozenset[str]:
    """Accounts that may decide now in place of a member of these groups."""
    await cursor.execute(_DELEGATES + _IN_FORCE, {"tenant": tenant, "groups": list(groups)})
    return frozenset(row["delegate"] for row in await cursor.fetchall())


async def groups_of_vote(cursor: Cursor, vote: Vote) -> frozenset[str]:
    """Groups whose seats a vote may still take: none once its approver, or whoever it was cast for, may not decide.

    A delegate's vote needs the delegation to have been in force when it was cast, and not to have been ended since.
    That its time has run out meanwhile takes nothing back.
    """
    account = await find_account(cursor, vote.tenant, vote.subject)
    if not approves_as(account, vote.person, vote.issuer):
        return frozenset()
    if vote.delegated is None:
        return frozenset(account.groups)
    found = await find_delegation(cursor, vote.tenant, vote.delegated.delegation_id)
    away = await find_account(cursor, vote.tenant, vote.delegated.approver)
    holds = (
        found is not None
        and found.ended_at is None
        and (found.approver, found.delegate) == (vote.delegated.approver, vote.subject)
        and int(found.from_at.timestamp()) <= vote.voted_at < found.until_at.timestamp()
    )
    return frozenset(away.groups) if holds and approves_as(away, vote.delegated.person) else frozenset()


async def _approver(cursor: Cursor, tenant: str, username: str, what: str) -> Account:
    account = await find_account(cursor, tenant, username)
    if account is None or not approves_as(account, account.person):
        raise NotDelegated(f"{username}, who {what}, has no account here with the role approve")
    return account


def _check_time(start: datetime, until_at: datetime, now: datetime) -> None:
    if until_at <= start:
        raise NotDelegated("it ends before it begins, or lies in the past")
    if until_at - start > timedelta(days=MAX_DAYS):
        raise NotDelegated(f"it lasts at most {MAX_DAYS} days")
    if start - now > timedelta(days=MAX_AHEAD_DAYS):
        raise NotDelegated(f"it begins within {MAX_AHEAD_DAYS} days")


async def _found(cursor: Cursor, tenant: str, delegation_id: str) -> Delegation:
    found = await find_delegation(cursor, tenant, delegation_id)
    if found is None:
        raise NotDelegated("there is no such delegation")
    return found
