"""Local accounts: the embedded default for signing in. A bad password locks, and an unknown user takes as long."""

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal, TypeGuard, get_args

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from pydantic import Field

from contracts.base import GroupName, Record, TenantId, UserName
from store.database import Database
from store.passwords import hash_password, is_outdated, verify_password
from store.sessions import end_sessions_of

__all__ = [
    "LOCAL_ISSUER",
    "ROLES",
    "Account",
    "NewAccount",
    "Role",
    "add_account",
    "approves_as",
    "authenticate",
    "disable_account",
    "find_account",
    "known_names",
    "link_account",
    "list_accounts",
    "members_behind",
    "persons_behind",
    "set_password",
    "set_roles",
    "upsert_vouched",
]

Role = Literal["view", "approve", "kill", "undo", "administer"]
ROLES: tuple[Role, ...] = get_args(Role)
FREE_FAILURES = 5
"""Wrong passwords in a row before the account locks: for a minute, then twice as long each time, at most 15."""
LOCAL_ISSUER = "local"
"""Issuer of the votes of these accounts."""
MAX_LISTED = 1_000
_TENANT = re.compile(r"[a-z][a-z0-9-]{0,39}", re.ASCII)


class NewAccount(Record):
    """An account to create."""

    tenant: TenantId
    username: UserName
    """Unique in the tenant; kept in lower case."""
    person: str = Field(min_length=1, max_length=200)
    """The human being; accounts of one person share it."""
    display_name: str = Field(min_length=1, max_length=200)
    groups: tuple[GroupName, ...] = Field(max_length=100)
    """Groups that policies name."""
    roles: tuple[Role, ...] = ("view", "approve")
    """What the operator may do here."""


class Account(Record):
    """An account as it is now, without its secret."""

    tenant: str
    username: str
    person: str
    display_name: str
    issuer: str
    """Who vouches for it: `local`, or an OpenID provider."""
    groups: tuple[str, ...]
    roles: tuple[str, ...]
    disabled: bool
    locked_until: datetime | None
    created_at: datetime


async def add_account(cursor: AsyncCursor[DictRow], new: NewAccount, password: str) -> bool:
    """Create the account; False when the name is taken. Raises ValueError for a password of the wrong length."""
    await cursor.execute(
        """insert into accounts (tenant, username, person, display_name, password_hash, groups, roles)
           values (%s, %s, %s, %s, %s, %s, %s) on conflict (tenant, username) do nothing""",
        (
            new.tenant,
            new.username.lower(),
            new.person,
            new.display_name,
            hash_password(password),
            list(new.groups),
            list(new.roles),
        ),
    )
    return cursor.rowcount == 1


async def upsert_vouched(cursor: AsyncCursor[DictRow], new: NewAccount, issuer: str) -> Account | None:
    """The account of somebody whom a provider vouches for, with groups and roles as the provider says now.

    Whose account it is, and whether it is disabled, is decided here and not there. None: it is disabled, or the name
    belongs to another issuer.
    """
    await cursor.execute(
        """insert into accounts as a (tenant, username, person, display_name, issuer, password_hash, groups, roles)
           values (%s, %s, %s, %s, %s, '', %s, %s)
           on conflict (tenant, username) do update set display_name = excluded.display_name, groups = excluded.groups,
               roles = excluded.roles where a.issuer = excluded.issuer and not a.disabled
           returning *""",
        (
            new.tenant,
            new.username,
            new.person,
            new.display_name,
            issuer,
            list(new.groups),
            list(new.roles),
        ),
    )
    row = await cursor.fetchone()
    return _account(row) if row else None


async def find_account(cursor: AsyncCursor[DictRow], tenant: str, username: str) -> Account | None:
    """The account of that name, or None."""
    await cursor.execute("select * from accounts where tenant = %s and username = %s", (tenant, username.lower()))
    row = await cursor.fetchone()
    return _account(row) if row else None


async def members_behind(cursor: AsyncCursor[DictRow], tenant: str, names: Collection[str]) -> tuple[str, ...]:
    """The persons behind these names (see `persons_behind`), and who is in a group among them by now."""
    await cursor.execute(
        """select distinct person from accounts
           where tenant = %(tenant)s and exists (select from unnest(groups) g where lower(g) = any(%(names)s))
           order by person limit %(most)s""",
        {"tenant": tenant, "names": [name.lower() for name in names], "most": MAX_LISTED},
    )
    members = [str(row["person"]) for row in await cursor.fetchall()]
    return tuple(dict.fromkeys((*await persons_behind(cursor, tenant, names), *members)))


async def persons_behind(cursor: AsyncCursor[DictRow], tenant: str, names: Collection[str]) -> tuple[str, ...]:
    """These names of persons or accounts, and every person whose account or name is among them, as it is now.

    Whoever may not decide may not do so with another account of theirs either.
    """
    await cursor.execute(
        """select distinct person from accounts
           where tenant = %(tenant)s and (lower(username) = any(%(names)s) or lower(person) = any(%(names)s))
           order by person limit 20""",
        {"tenant": tenant, "names": [name.lower() for name in names]},
    )
    return tuple(dict.fromkeys((*names, *(str(row["person"]) for row in await cursor.fetchall()))))


async def known_names(cursor: AsyncCursor[DictRow], tenant: str, names: Collection[str]) -> frozenset[str]:
    """Which of these names `members_behind` finds somebody for: users, persons and groups. In lower case."""
    await cursor.execute(
        """select name from unnest(%(names)s::text[]) as name
           where exists (select from accounts where tenant = %(tenant)s and (lower(username) = name
               or lower(person) = name or exists (select from unnest(groups) g where lower(g) = name)))""",
        {"tenant": tenant, "names": [name.lower() for name in names]},
    )
    return frozenset(str(row["name"]) for row in await cursor.fetchall())


def approves_as(account: Account | None, person: str, issuer: str | None = None) -> TypeGuard[Account]:
    """Whether the account may decide now, as this person and as the issuer vouched for it (None: whoever does)."""
    return (
        account is not None
        and not account.disabled
        and "approve" in account.roles
        and account.person == person
        and issuer in (None, account.issuer)
    )


async def list_accounts(cursor: AsyncCursor[DictRow], tenant: str) -> tuple[Account, ...]:
    """The tenant's accounts by name."""
    await cursor.execute("select * from accounts where tenant = %s order by username limit %s", (tenant, MAX_LISTED))
    return tuple(_account(row) for row in await cursor.fetchall())


async def set_password(cursor: AsyncCursor[DictRow], tenant: str, username: str, password: str) -> bool:
    """Give the account another password, unlock it and end its sessions; False when there is none."""
    await cursor.execute(
        """update accounts set password_hash = %s, failed_logins = 0, locked_until = null
           where tenant = %s and username = %s and issuer = 'local'""",
        (hash_password(password), tenant, username.lower()),
    )
    found = cursor.rowcount == 1
    await end_sessions_of(cursor, tenant, username.lower())
    return found


async def disable_account(cursor: AsyncCursor[DictRow], tenant: str, username: str) -> bool:
    """Disable the account and end its sessions at once; False when there is none."""
    await cursor.execute(
        "update accounts set disabled = true where tenant = %s and username = %s", (tenant, username.lower())
    )
    found = cursor.rowcount == 1
    await end_sessions_of(cursor, tenant, username.lower())
    return found


async def link_account(cursor: AsyncCursor[DictRow], tenant: str, username: str, person: str) -> bool:
    """Say whose account it is; accounts of one person count as one. Ends its sessions. False when there is none."""
    await cursor.execute(
        "update accounts set person = %s where tenant = %s and username = %s", (person, tenant, username.lower())
    )
    found = cursor.rowcount == 1
    await end_sessions_of(cursor, tenant, username.lower())
    return found


async def set_roles(cursor: AsyncCursor[DictRow], tenant: str, username: str, roles: Sequence[Role]) -> bool:
    """Give the account these operator roles and no others. Ends its sessions. False when there is none."""
    await cursor.execute(
        "update accounts set roles = %s where tenant = %s and username = %s", (list(roles), tenant, username.lower())
    )
    found = cursor.rowcount == 1
    await end_sessions_of(cursor, tenant, username.lower())
    return found


async def authenticate(database: Database, tenant: str, username: str, password: str) -> Account | None:
    """The account that these belong to, or None: unknown, disabled, locked and wrong look alike and take as long."""
    if not _TENANT.fullmatch(tenant) or "\0" in username:
        await verify_password(None, password)
        return None
    async with database.tenant(tenant) as cursor:
        encoded = await _begin_attempt(cursor, tenant, username)
    if not await verify_password(encoded, password) or encoded is None:
        return None
    renewed = hash_password(password) if is_outdated(encoded) else encoded
    async with database.tenant(tenant) as cursor:
        await cursor.execute(
            """update accounts set failed_logins = 0, locked_until = null, password_hash = %s
               where tenant = %s and username = %s and password_hash = %s and not disabled returning *""",
            (renewed, tenant, username.lower(), encoded),
        )
        row = await cursor.fetchone()
    return _account(row) if row else None


async def _begin_attempt(cursor: AsyncCursor[DictRow], tenant: str, username: str) -> str | None:
    """Count the attempt as failed before the password is looked at, so that a burst of guesses cannot outrun the lock.

    Returns the hash to verify, or None when no attempt is allowed.
    """
    await cursor.execute(
        """update accounts set failed_logins = failed_logins + 1,
               locked_until = case when failed_logins + 1 >= %(free)s then now() + least(interval '15 minutes',
                   interval '1 minute' * power(2, least(failed_logins + 1 - %(free)s, 10))) end
           where tenant = %(tenant)s and username = %(username)s and issuer = 'local' and not disabled
               and (locked_until is null or locked_until <= now())
           returning password_hash""",
        {"tenant": tenant, "username": username.lower(), "free": FREE_FAILURES},
    )
    row = await cursor.fetchone()
    return row["password_hash"] if row else None


def _account(row: DictRow) -> Account:
    return Account.model_validate({name: row[name] for name in Account.model_fields})
