"""Who is at the other end: session tokens, the cookie that carries them, and the CSRF tokens of their forms."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from starlette.requests import Request
from starlette.responses import Response

from contracts.emergency import Emergency
from settings import SettingsError
from store.accounts import Account
from store.approval_lists import Reader
from store.database import Database
from store.delegations import groups_lent
from store.emergencies import open_emergencies
from store.live import live_sessions
from store.sessions import ABSOLUTE, Begun, StoredSession, add_session, end_session, find_session, token_hash_of

__all__ = ["SessionDesk", "Visitor", "read_secret", "tenant_in"]

_TOKEN = re.compile(r"([a-z][a-z0-9-]{0,39})\.([A-Za-z0-9_-]{43})", re.ASCII)
_MIN_SECRET_BYTES = 32


@dataclass(frozen=True)
class Visitor:
    """A person who is signed in."""

    session: StoredSession
    token: str
    csrf: str
    """What the forms of this session carry."""
    emergencies: tuple[Emergency, ...] = ()
    """Those that are open now: every page says so."""
    lent: tuple[str, ...] = ()
    """Groups as which they decide for approvers who are away."""

    @property
    def tenant(self) -> str:
        """The only tenant that this visitor sees."""
        return self.session.tenant

    @property
    def token_hash(self) -> bytes:
        """What is kept of the token."""
        return token_hash_of(self.token)

    @property
    def account(self) -> str:
        """What is written down of whatever they do."""
        return self.session.username

    @property
    def reader(self) -> Reader:
        """Whose lists these are."""
        session = self.session
        return Reader(
            person=session.person,
            username=session.username,
            groups=(*session.groups, *(group for group in self.lent if group not in session.groups)),
            may_decide="approve" in session.roles,
        )


def read_secret(file: Path) -> bytes:
    """The secret of the sessions. Raises SettingsError when it is missing or short."""
    try:
        secret = file.read_bytes().strip()
    except OSError as error:
        raise SettingsError(
            f"the session secret {file} cannot be read ({error.strerror}). "
            "Start with `countersign up`, which creates it, or set COUNTERSIGN_SESSION_SECRET_FILE."
        ) from error
    if len(secret) < _MIN_SECRET_BYTES:
        raise SettingsError(
            f"the session secret {file} is too short. Put at least {_MIN_SECRET_BYTES} characters in it."
        )
    return secret


class SessionDesk:
    """Starts, finds and ends sessions.

    A token is `<tenant>.<256 random bits>`. The tenant says whose rows to look in; it gives no right, since the random
    part is found there or not. The CSRF token is derived from the token's hash under the installation's secret, and
    its hash is stored: a new secret ends every session, and a row forged in the database opens none.
    """

    def __init__(self, database: Database, secret: bytes, *, is_https: bool) -> None:
        self._database = database
        self._secret = secret
        self._is_https = is_https
        # The prefix makes browsers insist on Secure, on no Domain and on the whole site (RFC 6265bis, 4.1.3.2).
        self.cookie = "__Host-countersign" if is_https else "countersign"

    async def start(self, account: Account, begun: Begun | None = None) -> str:
        """A new token, whatever the browser held before: nobody can plant one."""
        async with self._database.tenant(account.tenant) as cursor:
            return await self.add(cursor, account.tenant, account.username, begun or Begun())

    async def add(self, cursor: AsyncCursor[DictRow], tenant: str, username: str, begun: Begun) -> str:
        """The same, within a transaction of the caller's."""
        token = f"{tenant}.{secrets.token_urlsafe(32)}"
        token_hash = token_hash_of(token)
        await add_session(
            cursor,
            tenant=tenant,
            username=username,
            token_hash=token_hash,
            csrf_hash=hashlib.sha256(self._csrf(token_hash).encode()).digest(),
            begun=begun,
        )
        return token

    async def find(self, token: str | None) -> Visitor | None:
        """Who the token belongs to, or None."""
        parts = _TOKEN.fullmatch(token or "")
        if token is None or parts is None:
            return None
        token_hash = token_hash_of(token)
        async with self._database.tenant(parts[1]) as cursor:
            session = await find_session(cursor, parts[1], token_hash)
            emergencies = await open_emergencies(cursor, parts[1])
            lent = await groups_lent(cursor, parts[1], session.username) if session else ()
        csrf = self._csrf(token_hash)
        if session is None or not hmac.compare_digest(session.csrf_hash, hashlib.sha256(csrf.encode()).digest()):
            return None
        return Visitor(session=session, token=token, csrf=csrf, emergencies=tuple(emergencies), lent=lent)

    async def end(self, token: str | None) -> None:
        """Sign out, on the server and not only in the browser."""
        parts = _TOKEN.fullmatch(token or "")
        if token is not None and parts is not None:
            async with self._database.tenant(parts[1]) as cursor:
                await end_session(cursor, parts[1], token_hash_of(token))

    async def still_hold(self, tenant: str, tokens: Collection[str]) -> set[str]:
        """Which of these sessions still hold and may look, without using them."""
        hashes = {token_hash_of(token): token for token in tokens}
        async with self._database.tenant(tenant) as cursor:
            return {hashes[found] for found in await live_sessions(cursor, tenant, list(hashes))}

    def token_of(self, request: Request) -> str | None:
        """The token in the browser's cookie."""
        return request.cookies.get(self.cookie)

    def give(self, response: Response, token: str) -> None:
        """Put the token into the browser."""
        response.set_cookie(
            self.cookie,
            token,
            max_age=int(ABSOLUTE.total_seconds()),
            path="/",
            secure=self._is_https,
            httponly=True,
            samesite="lax",  # strict would sign people out who come from a mail link
        )

    def take(self, response: Response) -> None:
        """Take the token out of the browser."""
        response.delete_cookie(self.cookie, path="/", secure=self._is_https, httponly=True, samesite="lax")

    def carry(self, response: Response, started: str) -> None:
        """Put a sign-in that has begun at a provider into the browser: it comes back with the provider's answer."""
        response.set_cookie(
            f"{self.cookie}-sign-in", started, max_age=600, path="/", secure=self._is_https, httponly=True,
            samesite="lax",
        )  # fmt: skip

    def carried(self, request: Request) -> str | None:
        """The sign-in that the browser began."""
        return request.cookies.get(f"{self.cookie}-sign-in")

    def drop(self, response: Response) -> None:
        """Forget it: each is finished once."""
        response.delete_cookie(f"{self.cookie}-sign-in", path="/", secure=self._is_https, httponly=True, samesite="lax")

    def code_hash(self, tenant: str, code: str) -> bytes:
        """What is kept of a short code that a person types: whoever reads the database cannot guess it."""
        return hmac.new(self._secret, f"code:{tenant}:{code}".encode(), hashlib.sha256).digest()

    def _csrf(self, token_hash: bytes) -> str:
        return hmac.new(self._secret, b"csrf:" + token_hash, hashlib.sha256).hexdigest()


def tenant_in(token: str | None) -> str | None:
    """The tenant that a token of ours names, whether it opens anything or not."""
    parts = _TOKEN.fullmatch(token or "")
    return parts[1] if parts else None
