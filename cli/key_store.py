"""What the store knows of signing keys, for `countersign keys`: one short connection for each question."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Literal, TypeVar

from cli.operators import Operator, store_of, unreachable
from contracts.base import JsonObject, Record
from contracts.canonical import canonical_bytes
from settings import Settings
from settings.signing_keys import SigningKey
from settings.tenants import load_tenants
from store.alarms import raise_alarm
from store.credential_keys import key_rows, list_keys, publish_keys, retire_credential_key
from store.database import Database, StoreDown
from store.revocations import Scope
from store.revocations import revoke as revoke_in_store
from store.vote_keys import list_vote_keys, publish_key, retire_key, runs_that_pin

__all__ = ["KnownKey", "Purpose", "known_keys", "note_change", "note_retired", "note_rotated", "pinning_runs", "revoke"]

Purpose = Literal["credential", "vote"]
_T = TypeVar("_T")


class KnownKey(Record):
    """A public key in the store."""

    signs_from: datetime | None
    until: datetime | None
    """When it stops being published; None: not yet."""
    retired: bool


def known_keys(settings: Settings, purpose: Purpose) -> dict[str, KnownKey]:
    """Every key by id. Raises CliError: the store cannot be reached."""

    async def ask(store: Database) -> dict[str, KnownKey]:
        async with store.everywhere() as cursor:
            if purpose == "credential":
                return {
                    key.kid: KnownKey(
                        signs_from=key.not_before, until=key.retired_at or key.expires_at, retired=bool(key.retired_at)
                    )
                    for key in await list_keys(cursor)
                }
            return {
                key.kid: KnownKey(signs_from=key.created_at, until=key.retired_at, retired=bool(key.retired_at))
                for key in await list_vote_keys(cursor)
            }

    return _asked(settings, ask)


def note_rotated(settings: Settings, purpose: Purpose, keys: Sequence[SigningKey]) -> None:
    """Publish keys. Raises CliError: the store cannot be reached."""

    async def tell(store: Database) -> None:
        async with store.everywhere() as cursor:
            if purpose == "credential":
                await publish_keys(cursor, key_rows(keys))
                return
            for key in keys:
                public = canonical_bytes({name: key.public[name] for name in ("crv", "kty", "x")}).decode()
                await publish_key(cursor, kid=key.kid, public_jwk=public)

    _asked(settings, tell)


def note_retired(settings: Settings, purpose: Purpose, kid: str) -> None:
    """Withdraw a key. Raises CliError: the store cannot be reached."""

    async def tell(store: Database) -> None:
        async with store.everywhere() as cursor:
            if purpose == "credential":
                await retire_credential_key(cursor, kid)
            else:
                await retire_key(cursor, kid)

    _asked(settings, tell)


def note_change(
    settings: Settings, operator: Operator, what: Literal["key_rotated", "key_retired"], purpose: Purpose, kid: str,
    reason: str,
) -> None:  # fmt: skip
    """Write down who changed a key, and why. Raises CliError: the store cannot be reached."""
    detail: JsonObject = {"by": operator.username, "role": operator.role, "reason": reason}

    async def tell(store: Database) -> None:
        await raise_alarm(store, operator.tenant, what, f"{purpose} {kid}", detail)

    _asked(settings, tell)


def pinning_runs(settings: Settings, kid: str) -> tuple[str, ...]:
    """Open runs of any tenant that verify votes with this key. Raises CliError: the store cannot be reached."""

    async def ask(store: Database) -> tuple[str, ...]:
        found: list[str] = []
        for tenant in load_tenants(settings.tenants_file).tenants:
            async with store.tenant(tenant) as cursor:
                found += await runs_that_pin(cursor, tenant, kid)
        return tuple(found)

    return _asked(settings, ask)


def revoke(settings: Settings, tenant: str, scope: Scope, target: str, *, by: str, reason: str) -> int:
    """Revoke credentials; the epoch below which they are refused. Raises CliError: the store cannot be reached."""

    async def tell(store: Database) -> int:
        async with store.tenant(tenant) as cursor:
            return await revoke_in_store(cursor, tenant=tenant, scope=scope, target=target, by=by, reason=reason)

    return _asked(settings, tell)


def _asked(settings: Settings, question: Callable[[Database], Awaitable[_T]]) -> _T:
    async def ask() -> _T:
        async with store_of(settings) as store:
            return await question(store)

    try:
        return asyncio.run(ask())
    except StoreDown as error:
        raise unreachable(error) from error
