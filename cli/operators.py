"""Who operates: an account with the role that a command needs, proved as a decision that cannot be undone is.

By the session of `countersign approvals sign-in` while it is fresh, or by the password of a local account. Who has a
passkey has shown it in that session; their password alone still stops things, because stopping waits for no form.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, TypeVar

import typer

from approvals.proof import proof_missing
from cli.asking import password_of
from cli.output import CliError, Exit
from cli.session_file import KeptSession, SessionFile
from contracts.base import Record
from policy.votes import SIGN_IN_TIER_4_S
from settings import Settings
from settings.tenants import load_tenants
from store.accounts import Account, Role, authenticate
from store.database import Database, StoreDown
from store.passkeys import passkeys_of
from store.sessions import StoredSession, find_session, token_hash_of

__all__ = [
    "AsOption",
    "Operator",
    "ReasonOption",
    "TenantOption",
    "reason_of",
    "sign_in",
    "store_of",
    "tenant_of",
    "unreachable",
]

AsOption = Annotated[
    str, typer.Option("--as", help="Who you are: USER, or TENANT/USER. The password is asked, or COUNTERSIGN_PASSWORD.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is recorded.")]
TenantOption = Annotated[str | None, typer.Option("--tenant", help="Organisation. Default: the only one there is.")]
_MIN_REASON = 3
FoundT = TypeVar("FoundT")


class Operator(Record):
    """Somebody who proved who they are, and under which role they act."""

    tenant: str
    username: str
    person: str
    """The human being; accounts of one person share it."""
    role: Role


def sign_in(settings: Settings, who: str, *roles: Role, stops: bool = False) -> Operator:
    """Prove who somebody is, and that they have one of the roles; the first that they have is the one they act under.

    `stops`: the command only takes away or stops.

    Raises:
        CliError: the password is wrong (or the account locked or disabled) or not enough, or no role fits.
    """
    tenant, slash, user = who.rpartition("/")
    tenant = tenant_of(settings, tenant if slash else None)
    kept = SessionFile(settings).read()
    mine = kept and (kept.tenant, kept.username) == (tenant, user.lower())
    found = _asked(settings, partial(_signed_in, kept)) if kept and mine else None
    if found is None:
        typed = password_of(settings, f"Password of {user} ({tenant})")
        by_password = partial(_authenticated, tenant=tenant, user=user, password=typed, stops=stops)
        found = _asked(settings, by_password)
    if found is None:
        raise CliError(f"{tenant}/{user} cannot sign in with this password.", Exit.BAD)
    fitting: list[Role] = [role for role in roles if role in found.roles]
    if not fitting:
        wanted = " or ".join(roles)
        raise CliError(
            f"{tenant}/{user} has no role for this; it needs {wanted}. Ask somebody who has it, or give it with "
            "`countersign approvals account role`.",
            Exit.BAD,
        )
    return Operator(tenant=tenant, username=found.username, person=found.person, role=fitting[0])


def reason_of(reason: str) -> str:
    """The reason, checked. Raises CliError: it says nothing."""
    if len(reason.strip()) < _MIN_REASON:
        raise CliError(f"say why in at least {_MIN_REASON} characters, with --reason; it is recorded.")
    return reason.strip()[:2_000]


def tenant_of(settings: Settings, named: str | None) -> str:
    """The tenant that is meant. Raises CliError: there is none of that name, or several and none was named."""
    known = sorted(load_tenants(settings.tenants_file).tenants)
    if named is None and len(known) == 1:
        return known[0]
    if named not in known:
        raise CliError(f"say --tenant (or --as TENANT/USER): {', '.join(known)}.")
    return named


def store_of(settings: Settings) -> Database:
    """The store, for one command."""
    return Database(settings.database_address(), role=settings.database_role, max_connections=1)


def unreachable(error: StoreDown) -> CliError:
    """What to say when the store does not answer."""
    return CliError(f"{error}. Look at `countersign status`.")


def _asked(settings: Settings, ask: Callable[[Database], Awaitable[FoundT]]) -> FoundT:
    async def within() -> FoundT:
        async with store_of(settings) as store:
            return await ask(store)

    try:
        return asyncio.run(within())
    except StoreDown as error:
        raise unreachable(error) from error


async def _signed_in(kept: KeptSession, store: Database) -> StoredSession | None:
    """Their session of this command line; None: it is over, or they did not prove themselves well enough, lately."""
    async with store.tenant(kept.tenant) as cursor:
        found = await find_session(cursor, kept.tenant, token_hash_of(kept.token))
        has_passkey = found is not None and bool(await passkeys_of(cursor, kept.tenant, found.person))
    return None if found is None or proof_missing(found, has_passkey=has_passkey) else found


async def _authenticated(store: Database, *, tenant: str, user: str, password: str, stops: bool) -> Account | None:
    """Whose password it is. Raises CliError: they have a passkey, which a password does not stand for."""
    account = await authenticate(store, tenant, user, password)
    if account is None or stops:
        return account
    async with store.tenant(tenant) as cursor:
        has_passkey = bool(await passkeys_of(cursor, tenant, account.person))
    if has_passkey:
        raise CliError(
            f"a password is not enough: {tenant}/{user} has a passkey. Show it with `countersign approvals sign-in "
            f"--as {tenant}/{user}`, then do this within {SIGN_IN_TIER_4_S // 60} minutes.",
            Exit.BAD,
        )
    return account
