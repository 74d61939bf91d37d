"""`countersign approvals account`: local accounts, made by whoever operates the machine; straight to the store."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.text import Text

from cli.approval_groups import check_groups
from cli.approval_passkeys import mount_passkeys
from cli.asking import password_of
from cli.mistakes import mistake_in
from cli.output import CliError, Exit, JsonOption, print_json, print_table, say
from settings import Settings
from settings.load import load_settings
from settings.tenants import load_tenants
from store.accounts import (
    ROLES,
    Account,
    NewAccount,
    Role,
    add_account,
    disable_account,
    find_account,
    link_account,
    list_accounts,
    set_roles,
)
from store.database import Database, StoreDown
from store.passwords import MIN_CHARACTERS

__all__ = ["mount_accounts"]

TenantOption = Annotated[str | None, typer.Option("--tenant", help="Organisation. Default: the only one there is.")]


def mount_accounts(group: typer.Typer) -> None:
    """Add the subgroup."""
    accounts = typer.Typer(no_args_is_help=True, help="Local accounts of approvers.")
    accounts.command("add")(add)
    accounts.command("list")(list_all)
    accounts.command("disable")(disable)
    accounts.command("link")(link)
    accounts.command("role")(role)
    mount_passkeys(accounts)
    group.add_typer(accounts, name="account")


def add(
    username: Annotated[str, typer.Argument(help="Unique within the organisation.")],
    group: Annotated[list[str] | None, typer.Option(help="A group that policies name; may be given again.")] = None,
    role: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(ROLES)}; may be given again.")] = None,
    name: Annotated[str, typer.Option(help="Name as others see it. Default: the user name.")] = "",
    person: Annotated[str, typer.Option(help="The human being; accounts of one person share it.")] = "",
    tenant: TenantOption = None,
) -> int:
    """Add an account. The password comes from a prompt, or from COUNTERSIGN_PASSWORD."""
    settings = load_settings()
    roles = _roles(role or ("view", "approve"))
    check_groups(settings, group or ())
    try:
        new = NewAccount.model_validate(
            {
                "tenant": _tenant(settings, tenant),
                "username": username,
                "person": person or username.lower(),
                "display_name": name or username,
                "groups": tuple(group or ()),
                "roles": roles,
            }
        )
    except ValidationError as error:
        raise mistake_in(error) from None
    typed = password_of(settings, f"Password ({MIN_CHARACTERS} characters or more)", twice=True)
    try:
        added = asyncio.run(_add(settings, new, typed))
    except ValueError as error:
        raise CliError(f"{error}. Choose another.") from None
    if not added:
        raise CliError(f"{new.tenant} has an account {new.username.lower()} already. Take another name.", Exit.BAD)
    say(f"{new.tenant}/{new.username.lower()} may sign in at {settings.web_url}")
    return Exit.OK


def list_all(tenant: TenantOption = None, as_json: JsonOption = False) -> int:
    """List the accounts."""
    settings = load_settings()
    accounts = asyncio.run(_list(settings, _tenant(settings, tenant)))
    if as_json:
        print_json(accounts)
        return Exit.OK
    print_table(
        ("USER", "NAME", "PERSON", "GROUPS", "ROLES", "STATE"),
        [
            (
                account.username,
                account.display_name,
                account.person,
                ", ".join(account.groups),
                ", ".join(account.roles),
                Text("disabled", "red") if account.disabled else Text("active", "green"),
            )
            for account in accounts
        ],
    )
    return Exit.OK


def disable(username: Annotated[str, typer.Argument()], tenant: TenantOption = None) -> int:
    """Disable an account and end its sessions. Its past votes stay; the gate counts them no more."""
    settings = load_settings()
    where = _tenant(settings, tenant)
    if not asyncio.run(_disable(settings, where, username)):
        raise CliError(f"{where} has no account {username}. `countersign approvals account list` shows them.", Exit.BAD)
    say(f"{where}/{username.lower()} is disabled and signed out")
    return Exit.OK


def link(
    username: Annotated[str, typer.Argument(help="The account.")],
    same_as: Annotated[str, typer.Option("--same-as", help="Another account of the same human being.")],
    tenant: TenantOption = None,
) -> int:
    """Say that two accounts are one person: together they have one vote, and neither may vote on the other's runs."""
    settings = load_settings()
    where = _tenant(settings, tenant)
    person = asyncio.run(_link(settings, where, username, same_as))
    if person is None:
        raise CliError(
            f"{where} has no account {username} or no account {same_as}. `countersign approvals account list` shows "
            "them.",
            Exit.BAD,
        )
    say(f"{where}/{username.lower()} and {where}/{same_as.lower()} are one person: {person}. {username} is signed out")
    return Exit.OK


def role(
    username: Annotated[str, typer.Argument(help="The account.")],
    roles: Annotated[list[str], typer.Argument(help=f"What it may do, of {', '.join(ROLES)}.")],
    tenant: TenantOption = None,
) -> int:
    """Give an account these operator roles and no others."""
    settings = load_settings()
    where = _tenant(settings, tenant)
    wanted = _roles(roles)
    if not asyncio.run(_set_roles(settings, where, username, wanted)):
        raise CliError(f"{where} has no account {username}. `countersign approvals account list` shows them.", Exit.BAD)
    say(f"{where}/{username.lower()} may {', '.join(wanted)}, and is signed out")
    return Exit.OK


def _roles(typed: Collection[str]) -> tuple[Role, ...]:
    unknown = sorted(set(typed) - set(ROLES))
    if unknown:
        raise CliError(f"{', '.join(unknown)}: no such role. There are {', '.join(ROLES)}.")
    return tuple(each for each in ROLES if each in typed)


def _tenant(settings: Settings, named: str | None) -> str:
    known = sorted(load_tenants(settings.tenants_file).tenants)
    if named is None and len(known) == 1:
        return known[0]
    if named not in known:
        raise CliError(f"say --tenant: {', '.join(known)}.")
    return named


async def _add(settings: Settings, new: NewAccount, password: str) -> bool:
    try:
        async with _database(settings) as db, db.tenant(new.tenant) as cursor:
            return await add_account(cursor, new, password)
    except StoreDown as error:
        raise _unreachable(error) from error


async def _list(settings: Settings, tenant: str) -> tuple[Account, ...]:
    try:
        async with _database(settings) as db, db.tenant(tenant) as cursor:
            return await list_accounts(cursor, tenant)
    except StoreDown as error:
        raise _unreachable(error) from error


async def _disable(settings: Settings, tenant: str, username: str) -> bool:
    try:
        async with _database(settings) as db, db.tenant(tenant) as cursor:
            return await disable_account(cursor, tenant, username)
    except StoreDown as error:
        raise _unreachable(error) from error


async def _link(settings: Settings, tenant: str, username: str, same_as: str) -> str | None:
    try:
        async with _database(settings) as db, db.tenant(tenant) as cursor:
            other = await find_account(cursor, tenant, same_as)
            if other is None or not await link_account(cursor, tenant, username, other.person):
                return None
            return other.person
    except StoreDown as error:
        raise _unreachable(error) from error


async def _set_roles(settings: Settings, tenant: str, username: str, roles: Sequence[Role]) -> bool:
    try:
        async with _database(settings) as db, db.tenant(tenant) as cursor:
            return await set_roles(cursor, tenant, username, roles)
    except StoreDown as error:
        raise _unreachable(error) from error


def _database(settings: Settings) -> Database:
    return Database(settings.database_address(), role=settings.database_role, max_connections=1)


def _unreachable(error: StoreDown) -> CliError:
    return CliError(f"{error}. Look at `countersign status`.")
