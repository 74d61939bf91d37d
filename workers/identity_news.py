"""What services must know to verify credentials: our public keys, and which credentials are revoked.

Every worker publishes its own keys in the store, serves those of all workers, signs the revoked epochs, and sends them
to the services that take such news. A worker is where the private key is; no other process can sign the statement.
"""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from typing import cast

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from activities.credentials import OwnIssuer
from contracts.tool import RefusedBeforeSend
from settings.services import ServiceEntry
from settings.signing_keys import SigningKey
from store.credential_keys import key_rows, publish_keys, published_keys
from store.database import Database, StoreDown
from store.revocations import news
from workers.well_known import EPOCHS_PATH, JWKS_PATH

__all__ = ["IdentityNews", "news_routes"]

JWKS_AGE_MAX_S = 300
"""How long others may keep the key set. A new key is published longer than this before it signs."""
EPOCHS_AGE_MAX_S = 2
_LOOK_EVERY_S = 1.0
_REFRESH_EVERY_S = 60.0
_STALE_S = 15.0
"""Epochs read longer ago are no news: better no statement than an old one with a new date."""
_PUSH_TIMEOUT_S = 3.0
_PUSH_WAIT_MAX_S = 30.0
_OK_MIN, _OK_MAX = 200, 299
_logger = logging.getLogger(__name__)


class IdentityNews:
    """Looks every second, and keeps what it found for whoever asks."""

    def __init__(
        self, db: Database, dispatch: Database, issuer: OwnIssuer, services: Mapping[str, ServiceEntry]
    ) -> None:
        self._db = db
        self._dispatch = dispatch
        self._issuer = issuer
        self._listeners = {
            name: _Listener(f"{entry.url.rstrip('/')}{entry.revocations}")
            for name, entry in services.items()
            if entry.revocations is not None
        }
        self._keys: dict[str, dict[str, str]] = {}
        self._published: tuple[SigningKey, ...] = ()
        self._epochs: dict[tuple[str, str, str], int] = {}
        self._read_s: float | None = None
        self._refreshed_s = time.monotonic()

    async def run(self) -> None:
        """Look until cancelled. A store that is down leaves what is known."""
        while True:
            try:
                await self.look()
                await self.tell()
            except StoreDown as error:
                _logger.warning("revoked credentials are not told: %s", error)
            except Exception:
                _logger.exception("revoked credentials are not told")
            await asyncio.sleep(_LOOK_EVERY_S)

    async def look(self) -> None:
        """Publish our keys, and read everybody's keys and the epochs."""
        if time.monotonic() - self._refreshed_s >= _REFRESH_EVERY_S:
            # A reference other than a file is followed again; in a thread, because it may be a command.
            await asyncio.to_thread(self._issuer.keys.refresh)
            self._refreshed_s = time.monotonic()
        ours = self._issuer.keys.published(time.time())
        async with self._db.everywhere() as cursor:
            if ours != self._published:
                withdrawn = await publish_keys(cursor, key_rows(ours))
                if withdrawn:
                    _logger.error("credential keys %s are retired: not used any more", ", ".join(withdrawn))
                    self._issuer.keys.withdraw(withdrawn)
                self._published = ours
            found = await published_keys(cursor)
        self._keys = {key.kid: cast("dict[str, str]", json.loads(key.public_jwk)) for key in found}
        self._epochs = await news(self._dispatch)
        self._read_s = time.monotonic()

    async def tell(self) -> None:
        """Send the epochs to the services that do not know them yet; a service that fails is asked again later."""
        now_s = time.monotonic()
        waiting = [
            (name, each)
            for name, each in self._listeners.items()
            if each.told != self._epochs and now_s >= each.not_before_s
        ]
        if not waiting:
            return  # before there is a client: making one costs more than all the rest of a look
        async with httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=_PUSH_TIMEOUT_S) as http:
            await asyncio.gather(*(self._push(http, name, each) for name, each in waiting))

    def key_set(self) -> str:
        """The public keys (JWKS). Our own are in it even while the store is down."""
        ours = {key.kid: key.public for key in self._issuer.keys.published(time.time())}
        keys = {**self._keys, **ours}
        return json.dumps({"keys": [keys[kid] for kid in sorted(keys)]})

    def statement(self) -> str | None:
        """The signed epochs; None: they cannot be told now."""
        if self._read_s is None or time.monotonic() - self._read_s > _STALE_S:
            return None
        try:
            return self._issuer.sign_epochs(self._epochs)
        except RefusedBeforeSend:
            return None

    async def _push(self, http: httpx.AsyncClient, name: str, listener: "_Listener") -> None:
        """Tell one service."""
        statement, telling = self.statement(), dict(self._epochs)
        if statement is None:
            return
        try:
            answer = await http.post(listener.url, content=statement, headers={"Content-Type": "application/jwt"})
            heard = _OK_MIN <= answer.status_code <= _OK_MAX
            problem = f"answered {answer.status_code}"
        except httpx.HTTPError as error:
            heard, problem = False, type(error).__name__
        if heard:
            listener.told, listener.failures = telling, 0
            return
        listener.failures += 1
        listener.not_before_s = time.monotonic() + min(2.0**listener.failures, _PUSH_WAIT_MAX_S)
        if listener.failures == 1:
            _logger.warning("service %s was not told of revoked credentials: it %s", name, problem)


class _Listener:
    """A service that takes news."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.told: dict[tuple[str, str, str], int] | None = None
        """None: nothing yet, not even that nothing is revoked."""
        self.failures = 0
        self.not_before_s = 0.0


def news_routes(identity: IdentityNews) -> list[Route]:
    """The addresses that services ask. Public by nature: neither holds a secret."""

    async def key_set(request: Request) -> Response:
        body = identity.key_set()
        tag = f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'
        headers = {"Cache-Control": f"public, max-age={JWKS_AGE_MAX_S}", "ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="application/jwk-set+json")

    async def epochs(_request: Request) -> Response:
        statement = identity.statement()
        if statement is None:
            return Response("the epochs cannot be read now\n", status_code=503, headers={"Cache-Control": "no-store"})
        headers = {"Cache-Control": f"public, max-age={EPOCHS_AGE_MAX_S}"}
        return Response(statement, headers=headers, media_type="application/jwt")

    return [Route(JWKS_PATH, key_set), Route(EPOCHS_PATH, epochs)]
