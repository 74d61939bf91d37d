"""Who operates: a local account with the role that a command needs, proved with its password."""

import asyncio
from typing import Annotated

import typer

from cli.asking import password_of
from cli.output import CliError, Exit
from contracts.base import Record
from settings import Settings
from settings.tenants import load_tenants
from store.accounts import Account, Role, authenticate
from store.database import Database, StoreDown

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


class Operator(Record):
    """Somebody who proved who they are, and under which role they act."""

    tenant: str
    username: str
    person: str
    """The human being; accounts of one person share it."""
    role: Role


def sign_in(settings: Settings, who: str, *roles: Role) -> Operator:
    """Prove who somebody is, and that they have one of the roles; the first that they have is the one they act under.

    Raises:
        CliError: the password is wrong (or the account locked or disabled), or no role fits.
    """
    tenant, slash, user = who.rpartition("/")
    tenant = tenant_of(settings, tenant if slash else None)
    typed = password_of(settings, f"Password of {user} ({tenant})")
    account = asyncio.run(_authenticated(settings, tenant, user, typed))
    if account is None:
        raise CliError(f"{tenant}/{user} cannot sign in with this password.", Exit.BAD)
    fitting: list[Role] = [role for role in roles if role in account.roles]
    if not fitting:
        wanted = " or ".join(roles)
        raise CliError(
            f"{tenant}/{user} has no role for this; it needs {wanted}. Ask somebody who has it, or give it with "
            "`countersign approvals account role`.",
            Exit.BAD,
        )
    return Operator(tenant=tenant, username=account.username, person=account.person, role=fitting[0])


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


async def _authenticated(settings: Settings, tenant: str, user: str, password: str) -> Account | None:
    try:
        async with store_of(settings) as store:
            return await authenticate(store, tenant, user, password)
    except StoreDown as error:
        raise unreachable(error) from error
