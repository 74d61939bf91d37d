"""Passkeys from the command line: those of a person, one that was lost, and what approvers signed with theirs."""

import asyncio
import os
import pwd
from typing import Annotated

import typer

from approvals.characters import plain
from approvals.words import at
from cli.approval_lists import AsOption
from cli.approvals_client import ApprovalsClient
from cli.operators import ReasonOption, TenantOption, reason_of, store_of, tenant_of, unreachable
from cli.output import CliError, Exit, JsonOption, print_json, print_table, say
from contracts.base import Record
from contracts.vote import SignedVote, Vote
from policy.passkeys import evidence_problem
from policy.votes import read_vote
from settings import Settings
from settings.load import load_settings
from store.accounts import find_account
from store.database import StoreDown
from store.passkey_challenges import KeptAssertion
from store.passkeys import Passkey, passkeys_of, remove_passkey
from store.vote_keys import list_vote_keys

__all__ = ["mount_assertions", "mount_passkeys"]

UserArgument = Annotated[str, typer.Argument(metavar="USER", help="The account.")]


class PasskeyLine(Record):
    """A passkey, without its key."""

    passkey_id: str
    username: str
    name: str
    rp_id: str
    synced: bool
    created_at: str
    last_used_at: str


class AssertionLine(Record):
    """What one approver signed, and whether that holds."""

    kept: KeptAssertion
    problem: str
    """Empty: the vote is signed by a known key, and by the authenticator of the person whose vote it is."""


def mount_passkeys(accounts: typer.Typer) -> None:
    """Add the verbs to the group of the accounts."""
    accounts.command("passkeys")(list_all)
    accounts.command("remove-passkey")(remove)


def mount_assertions(group: typer.Typer) -> None:
    """Add the verb to the group of the approvals."""
    group.command("assertions")(assertions)


def list_all(username: UserArgument, tenant: TenantOption = None, as_json: JsonOption = False) -> int:
    """List the passkeys of the person behind an account: with any of them they sign in, and sign at tier 4."""
    settings = load_settings()
    where = tenant_of(settings, tenant)
    found = asyncio.run(_list(settings, where, username))
    if found is None:
        raise _no_account(where, username)
    lines = [
        PasskeyLine(
            passkey_id=one.passkey_id,
            username=one.username,
            name=one.name,
            rp_id=one.rp_id,
            synced=one.synced,
            created_at=at(one.created_at),
            last_used_at=at(one.last_used_at) if one.last_used_at else "never",
        )
        for one in found
    ]
    if as_json:
        print_json(lines)
    elif lines:
        print_table(
            ("PASSKEY", "USER", "NAME", "SITE", "ADDED", "LAST USED"),
            [
                (one.passkey_id, one.username, plain(one.name), one.rp_id, one.created_at, one.last_used_at)
                for one in lines
            ],
        )
    else:
        say(f"{where}/{username.lower()} has no passkey: the password alone signs them in")
    return Exit.OK


def remove(
    username: UserArgument,
    passkey: Annotated[str, typer.Argument(metavar="PASSKEY", help="Id of the passkey, psk-….")],
    reason: ReasonOption,
    tenant: TenantOption = None,
) -> int:
    """Remove a passkey that was lost or stolen. Votes that it signed and that have not been used count no more."""
    settings = load_settings()
    where, why = tenant_of(settings, tenant), reason_of(reason)
    removed = asyncio.run(_remove(settings, where, username, passkey, why))
    if removed is None:
        raise CliError(
            f"{where}/{username.lower()} has no passkey {passkey}. `countersign approvals account passkeys "
            f"{username.lower()}` lists them.",
            Exit.BAD,
        )
    say(f"{plain(removed.name)} of {where}/{removed.username} is removed, sessions are ended, unused votes are void")
    return Exit.OK


def assertions(
    request_id: Annotated[str, typer.Argument(metavar="REQUEST", help="Id of a request or standing approval.")],
    who: AsOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show what approvers signed with their passkeys, and verify it here: signature, person, decision, site."""
    settings = load_settings()
    with ApprovalsClient(settings, who) as client:
        found = client.assertions(request_id.replace("sta-", "apr-", 1))
    keys = asyncio.run(_keys(settings))
    lines = [AssertionLine(kept=one, problem=_problem(one, keys)) for one in found.assertions]
    if as_json:
        print_json(lines)
    elif not lines:
        say("nobody decided with a passkey")
    else:
        for line in lines:
            vote = read_vote(SignedVote(jws=line.kept.jws), keys)
            name = f"{vote.display_name} ({vote.subject}): {vote.verdict}" if isinstance(vote, Vote) else "somebody"
            verdict = f"DOES NOT HOLD: {line.problem}" if line.problem else "holds"
            say(plain(f"{name}, {at(line.kept.kept_at)}  {verdict}"))
    return Exit.BAD if any(line.problem for line in lines) else Exit.OK


def _problem(kept: KeptAssertion, keys: dict[str, str]) -> str:
    vote = read_vote(SignedVote(jws=kept.jws), keys)
    return evidence_problem(kept.body, vote) if isinstance(vote, Vote) else f"the vote does not verify: {vote.value}"


async def _list(settings: Settings, tenant: str, username: str) -> tuple[Passkey, ...] | None:
    try:
        async with store_of(settings) as db, db.tenant(tenant) as cursor:
            account = await find_account(cursor, tenant, username)
            return await passkeys_of(cursor, tenant, account.person) if account else None
    except StoreDown as error:
        raise unreachable(error) from error


async def _remove(settings: Settings, tenant: str, username: str, passkey_id: str, reason: str) -> Passkey | None:
    try:
        async with store_of(settings) as db, db.tenant(tenant) as cursor:
            return await remove_passkey(
                cursor, tenant, username.lower(), passkey_id, by=_operator(), reason=reason, lost=True
            )
    except StoreDown as error:
        raise unreachable(error) from error


async def _keys(settings: Settings) -> dict[str, str]:
    try:
        async with store_of(settings) as db, db.everywhere() as cursor:
            # Retired ones too: what they signed was signed.
            return {key.kid: key.public_jwk for key in await list_vote_keys(cursor)}
    except StoreDown as error:
        raise unreachable(error) from error


def _operator() -> str:
    """Who operates the machine, as the operating system knows them."""
    try:
        return f"operator {pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"operator {os.getuid()}"


def _no_account(tenant: str, username: str) -> CliError:
    return CliError(f"{tenant} has no account {username}. `countersign approvals account list` shows them.", Exit.BAD)
