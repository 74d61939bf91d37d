"""The second half of signing in, for people who have passkeys: the password was right, now an authenticator answers."""

import json
import secrets

from starlette.responses import Response

from approvals.passkey_proofs import Proven, ask_sign_in, prove
from approvals.passkeys import NAMELESS, holder_of
from approvals.services import Services
from approvals.visitors import tenant_in
from contracts.base import Record
from store.accounts import Account, find_account
from store.passkey_challenges import pending_statement
from store.passkeys import passkeys_of

__all__ = ["NOT_ASKED", "TOO_LATE", "has_passkeys", "passkey_page", "proven_account"]

NOT_ASKED = "Your passkey was not asked: that needs JavaScript. Allow it for this site, then sign in again."
TOO_LATE = "What your passkey answered does not hold, or came too late. Sign in again."


class PendingSignIn(Record):
    """A sign-in whose password was right."""

    username: str
    next: str
    """Where the person wanted to go."""


async def has_passkeys(services: Services, account: Account) -> bool:
    """Whether a password alone lets this person in nowhere."""
    async with services.database.tenant(account.tenant) as cursor:
        return bool(await passkeys_of(cursor, account.tenant, account.person))


async def passkey_page(services: Services, account: Account, after: str) -> Response | str:
    """The page that asks for one of the person's passkeys; or what to tell them.

    No session begins yet. What was proven so far is a challenge in the store, bound to a cookie of this browser.
    """
    site = services.passkeys.site
    if site is None:
        return NAMELESS
    token = f"{account.tenant}.{secrets.token_urlsafe(32)}"
    statement = PendingSignIn(username=account.username, next=after).model_dump_json()
    async with services.database.tenant(account.tenant) as cursor:
        options = await ask_sign_in(cursor, services.passkeys, site, account, token, statement)
    values = {"options": json.dumps(options), "site": site, "account": account, "next": after}
    response = services.assets.page("sign_in_passkey.html", values)
    services.desk.carry(response, token)
    return response


async def proven_account(services: Services, token: str | None, answer: str) -> tuple[Account, str] | None:
    """Who signs in, and where they wanted to go; None: no passkey of theirs has answered this browser's challenge."""
    tenant = tenant_in(token)
    if token is None or tenant is None:
        return None
    async with services.database.tenant(tenant) as cursor:
        pending = await pending_statement(cursor, tenant, holder=holder_of(token), purpose="sign_in")
        asked = PendingSignIn.model_validate_json(pending) if pending else None
        account = await find_account(cursor, tenant, asked.username) if asked else None
        if asked is None or account is None or account.disabled:
            return None
        found = await prove(cursor, services.passkeys, account, token=token, purpose="sign_in", answer=answer)
    return (account, asked.next) if isinstance(found, Proven) else None
