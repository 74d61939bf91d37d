"""The public keys of an authorization server: fetched when they are needed, kept, and fetched again when one is new."""

import time
from typing import cast

import httpx
from joserfc import jwk, jws
from joserfc.errors import JoseError
from joserfc.jwk import Key

__all__ = ["ALGORITHMS", "ServerKeys", "UnknownKey"]

ALGORITHMS = ("Ed25519", "EdDSA", "ES256", "PS256", "RS256")
"""Signatures only: no shared secrets, no `none`."""
_KINDS = ("OKP", "EC", "RSA")
_FETCH_AGE_MAX_S = 300.0
_FETCH_INTERVAL_MIN_S = 5.0
"""An unknown key id causes a fetch; this keeps a server's mistake from becoming a flood."""
_MAX_BYTES = 64 * 1024
_MAX_KEYS = 50
_OK = 200


class UnknownKey(Exception):  # noqa: N818 - what is known then, said plainly
    """A token names no key that the server publishes; the message goes on after "the authorization server …"."""


class ServerKeys:
    """The key set at an address."""

    def __init__(self, http: httpx.AsyncClient, address: str) -> None:
        self._http = http
        self._address = address
        self._keys: dict[str, Key] = {}
        self._fetched_s: float | None = None

    async def of(self, token: str) -> Key:
        """The key that a token names.

        Raises:
            UnknownKey: it names none that the server publishes.
            JoseError, ValueError: it is no compact JWT.
            httpx.HTTPError: the server broke off.
        """
        kid: object = jws.extract_compact(token.encode()).headers().get("kid")
        if not isinstance(kid, str):
            raise UnknownKey("gave a token that names no key")
        age_s = None if self._fetched_s is None else time.monotonic() - self._fetched_s
        too_old = age_s is None or age_s >= _FETCH_AGE_MAX_S
        if too_old or (kid not in self._keys and age_s is not None and age_s >= _FETCH_INTERVAL_MIN_S):
            self._keys = await self._fetch()
            self._fetched_s = time.monotonic()
        if kid not in self._keys:
            raise UnknownKey("gave a token signed with a key that it does not publish")
        return self._keys[kid]

    async def _fetch(self) -> dict[str, Key]:
        response = await self._http.get(self._address)
        if response.status_code != _OK or len(response.content) > _MAX_BYTES:
            raise UnknownKey("does not publish its keys where the settings say")
        try:
            listed = cast("dict[str, list[dict[str, str]]]", response.json())["keys"][:_MAX_KEYS]
            kinds = [fields for fields in listed if fields["kty"] in _KINDS and fields.get("use", "sig") == "sig"]
            return {fields["kid"]: jwk.import_key(_public(fields)) for fields in kinds if "kid" in fields}
        except (JoseError, ValueError, TypeError, KeyError, AttributeError):
            raise UnknownKey("publishes no key set where the settings say") from None


def _public(fields: dict[str, str]) -> dict[str, str | list[str]]:
    """What makes the key; certificates and times are not looked at."""
    return {name: fields[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in fields}
