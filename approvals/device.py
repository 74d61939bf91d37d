"""Signing in programs that are no browsers (RFC 8628): the codes, and what a program may ask for."""

import hashlib
import re
import secrets
from typing import cast, get_args

from approvals.services import Services
from store.accounts import Role
from store.device_sign_ins import AskedSignIn, Let, Poll, ask_sign_in, find_asked, poll

__all__ = ["DEFAULT_SCOPES", "MEANINGS", "Asked", "begin", "code_in", "fetch_token", "look_up", "scopes_in"]

MEANINGS: dict[Role, str] = {
    "view": "look at requests, runs and decisions",
    "approve": "decide requests in your name",
    "kill": "stop agents, and order runs to pause or end",
    "undo": "close doubts and take effects back",
    "administer": "make and revoke the tokens of machines",
}
"""What a person is told that a program may do."""
DEFAULT_SCOPES: tuple[Role, ...] = ("view", "approve")
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so no words; nothing that looks like a digit (RFC 8628, 6.1)."""
_LENGTH = 8
_TRIES = 3
_CODE = re.compile(f"[{_LETTERS}]{{{_LENGTH}}}", re.ASCII)
_DEVICE = re.compile(r"csd_([a-z][a-z0-9-]{0,39})\.([A-Za-z0-9_-]{43})", re.ASCII)


class Asked:
    """What a program is told: its own secret, and the code that it shows to the person."""

    def __init__(self, tenant: str) -> None:
        self.device_code = f"csd_{tenant}.{secrets.token_urlsafe(32)}"
        letters = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
        self.user_code = f"{letters[: _LENGTH // 2]}-{letters[_LENGTH // 2 :]}"


def code_in(typed: str) -> str:
    """The code that somebody typed, however they did: empty when it is none."""
    letters = re.sub(r"[\s._-]", "", typed).upper()
    return letters if _CODE.fullmatch(letters) else ""


def scopes_in(scope: str) -> tuple[Role, ...] | None:
    """The roles that a program asks to use; None: it asks for something else."""
    wanted = tuple(dict.fromkeys(scope.split())) or DEFAULT_SCOPES
    return cast("tuple[Role, ...]", wanted) if set(wanted) <= set(get_args(Role)) else None


async def begin(
    services: Services, tenant: str, *, front_end: str, address: str, scopes: tuple[Role, ...]
) -> Asked | None:
    """Ask for a person; None: too many programs wait."""
    for _ in range(_TRIES):  # two codes alike are one in billions
        asked = Asked(tenant)
        async with services.database.tenant(tenant) as cursor:
            kept = await ask_sign_in(
                cursor, tenant, _hash(asked.device_code), code_hash(services, tenant, asked.user_code),
                front_end=front_end, address=address, scopes=scopes,
            )  # fmt: skip
        if kept:
            return asked
    return None


async def look_up(services: Services, tenant: str, typed: str) -> AskedSignIn | None:
    """What waits under that code in a person's own tenant; None: nothing, or not any more."""
    if not code_in(typed):
        return None
    async with services.database.tenant(tenant) as cursor:
        return await find_asked(cursor, tenant, code_hash(services, tenant, typed))


async def fetch_token(services: Services, device_code: str) -> tuple[str, Let] | Poll:
    """The token of the session, and whose it is; or why there is none."""
    parts = _DEVICE.fullmatch(device_code)
    if parts is None:
        return Poll.UNKNOWN
    tenant = parts[1]
    async with services.database.tenant(tenant) as cursor:
        found = await poll(cursor, tenant, _hash(device_code))
        if isinstance(found, Poll):
            return found
        return await services.desk.add(cursor, tenant, found.username, found.begun), found


def code_hash(services: Services, tenant: str, typed: str) -> bytes:
    """What is kept of a person's code."""
    return services.desk.code_hash(tenant, code_in(typed))


def _hash(device_code: str) -> bytes:
    return hashlib.sha256(device_code.encode()).digest()
