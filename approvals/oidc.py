"""Signing in at an OpenID provider: authorization code with PKCE, state and nonce, every claim verified.

What the browser carries between the two halves (state, nonce, PKCE verifier, where to go on) is a signed cookie that
lives ten minutes and is bound to the tenant; the provider's answer counts only beside it.
"""

import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, cast

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey

from contracts.base import JsonObject
from contracts.canonical import opaque_id
from settings import SettingsError
from settings.secret_references import read_secret
from settings.sign_in import OidcProvider, SignInFile, is_protected

__all__ = ["Identity", "OidcDesk", "OidcError", "Started"]

_LIFETIME_S = 600
_CLOCK_SKEW_S = 60
_DISCOVERY_S = 3_600
_MAX_BYTES = 256 * 1024
_ALGORITHMS = ["RS256", "PS256", "ES256", "ES384", "Ed25519", "EdDSA"]
_PROMPT = {"prompt": "login", "max_age": "0"}


class OidcError(Exception):
    """The sign-in did not come about. The message is for the person."""


@dataclass(frozen=True)
class Started:
    """The first half: where the browser goes, and what it carries."""

    address: str
    cookie: str


@dataclass(frozen=True)
class Identity:
    """Whom the provider vouches for, and what that means here."""

    tenant: str
    issuer: str
    username: str
    """Account that belongs to issuer and subject, whatever names change."""
    person: str
    display_name: str
    groups: tuple[str, ...]
    roles: tuple[str, ...]
    authenticated_at: int
    """Unix seconds."""
    multi_factor: bool
    next: str
    """Where the person wanted to go."""


class _OAuthClient(Protocol):
    """What is used of Authlib's client, which has no types."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    def create_authorization_url(
        self, url: str, *, state: str, nonce: str, code_verifier: str, **more: str
    ) -> tuple[str, str]: ...

    async def fetch_token(self, url: str, *, code: str, code_verifier: str) -> dict[str, Any]: ...


@dataclass(frozen=True)
class _Discovered:
    authorization: str
    token: str
    keys: str
    at: float


class OidcDesk:
    """Starts and finishes sign-ins at the providers of the settings."""

    def __init__(self, file: SignInFile, *, folder: Path, web_url: str, secret: bytes) -> None:
        """`folder`: where relative secret files lie; `secret`: that of the sessions."""
        self.providers = file.tenants
        self._folder = folder
        self.web_url = web_url.rstrip("/")
        self._redirect = f"{self.web_url}/sign-in/back"
        self._key = OctKey.import_key(hmac.new(secret, b"oidc", hashlib.sha256).digest())
        self._discovered: dict[str, _Discovered] = {}

    async def start(self, tenant: str, after: str, *, again: bool) -> Started:
        """Send somebody to the tenant's provider. `again`: the provider must ask for the proof anew.

        Raises:
            OidcError: there is no provider, or it does not answer.
        """
        provider = self._provider(tenant)
        found = await self._discover(provider)
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        async with self._client(provider) as client:
            address, _ = client.create_authorization_url(
                found.authorization, state=state, nonce=nonce, code_verifier=verifier, **(_PROMPT if again else {})
            )
        carried = {
            "tenant": tenant, "state": state, "nonce": nonce, "verifier": verifier, "next": after, "again": again,
            "exp": int(time.time()) + _LIFETIME_S,
        }  # fmt: skip
        return Started(address=address, cookie=jwt.encode({"alg": "HS256"}, carried, self._key, algorithms=["HS256"]))

    async def finish(self, query: dict[str, str], cookie: str | None) -> Identity:
        """Take the provider's answer.

        Raises:
            OidcError: it does not belong to a sign-in that this browser started, or does not verify.
        """
        carried = self._carried(cookie)
        if not hmac.compare_digest(query.get("state", "").encode(), str(carried["state"]).encode()):
            raise OidcError("This answer belongs to another sign-in. Start again.")
        provider = self._provider(str(carried["tenant"]))
        # RFC 9207: an answer that names another provider was mixed up on the way.
        if query.get("iss", provider.issuer) != provider.issuer:
            raise OidcError("Another provider answered. Start again.")
        if "code" not in query:
            raise OidcError(
                f"{provider.label} did not sign you in ({query.get('error', 'no code')[:60]}). Start again."
            )
        found = await self._discover(provider)
        claims = await self._claims(provider, found, query["code"], carried)
        return _identity(str(carried["tenant"]), provider, claims, str(carried["next"]))

    def _provider(self, tenant: str) -> OidcProvider:
        if tenant not in self.providers:
            raise OidcError("That organisation signs in with local accounts.")
        return self.providers[tenant]

    def _carried(self, cookie: str | None) -> dict[str, Any]:
        try:
            carried = jwt.decode(cookie or "", self._key, algorithms=["HS256"]).claims
        except (JoseError, ValueError):
            raise OidcError("This sign-in was not started here, or it took too long. Start again.") from None
        if int(carried["exp"]) < time.time():
            raise OidcError("This sign-in took too long. Start again.")
        return carried

    async def _claims(
        self, provider: OidcProvider, found: _Discovered, code: str, carried: dict[str, Any]
    ) -> dict[str, Any]:
        try:
            async with self._client(provider) as client:
                answer = await client.fetch_token(found.token, code=code, code_verifier=str(carried["verifier"]))
            keys = KeySet.import_key_set(cast("Any", await _document(found.keys, provider.timeout_s)))
            token = jwt.decode(str(answer.get("id_token", "")), keys, algorithms=_ALGORITHMS)
        except (AuthlibBaseError, JoseError, httpx.HTTPError, ValueError, KeyError) as error:
            raise OidcError(
                f"{provider.label} gave no proof that holds ({type(error).__name__}). Start again."
            ) from None
        claims = token.claims
        now = time.time()
        audience = claims.get("aud")
        audiences = [audience] if isinstance(audience, str) else list(audience or [])
        wrong = (
            claims.get("iss") != provider.issuer
            or provider.client_id not in audiences
            or (len(audiences) > 1 and claims.get("azp") != provider.client_id)
            or not hmac.compare_digest(str(claims.get("nonce", "")).encode(), str(carried["nonce"]).encode())
            or not isinstance(claims.get("sub"), str)
            or not claims["sub"]
            or float(claims.get("exp", 0)) < now - _CLOCK_SKEW_S
            or float(claims.get("iat", now + 2 * _CLOCK_SKEW_S)) > now + _CLOCK_SKEW_S
        )
        if wrong:
            raise OidcError(f"{provider.label} gave a proof for something else. Start again.")
        # Asked to prove it anew, and the provider let an old session pass: that is no fresh proof.
        if carried["again"] and now - float(claims.get("auth_time", 0)) > _LIFETIME_S:
            raise OidcError(f"{provider.label} did not ask you again. Sign out there, then start again.")
        return claims

    async def _discover(self, provider: OidcProvider) -> _Discovered:
        known = self._discovered.get(provider.issuer)
        if known is not None and time.monotonic() - known.at < _DISCOVERY_S:
            return known
        address = f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            document = await _document(address, provider.timeout_s)
        except (httpx.HTTPError, ValueError):
            raise OidcError(f"{provider.label} does not answer. Try again in a minute.") from None
        if document.get("issuer") != provider.issuer:
            raise OidcError(f"{provider.label} says that it is another provider. Tell the operator.")
        endpoints = [str(document.get(name, "")) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
        if not all(is_protected(endpoint) for endpoint in endpoints):
            raise OidcError(f"{provider.label} names an unprotected address. Tell the operator.")
        found = _Discovered(*endpoints, at=time.monotonic())
        self._discovered[provider.issuer] = found
        return found

    def _client(self, provider: OidcProvider) -> _OAuthClient:
        try:
            secret = read_secret(provider.client_secret, self._folder).get_secret_value()
        except SettingsError:
            raise OidcError("The secret of this installation at the provider is missing. Tell the operator.") from None
        made: object = AsyncOAuth2Client(
            provider.client_id,
            secret,
            scope=" ".join(provider.scopes),
            redirect_uri=self._redirect,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic",  # noqa: S106 - the name of a method
            trust_env=False,
            timeout=provider.timeout_s,
        )
        return cast("_OAuthClient", made)


async def _document(address: str, timeout_s: float) -> JsonObject:
    # No redirects and no proxy of the environment: what is read there decides who may sign in.
    async with httpx.AsyncClient(trust_env=False, timeout=timeout_s, follow_redirects=False) as client:
        answer = await client.get(address)
    answer.raise_for_status()
    if len(answer.content) > _MAX_BYTES:
        raise ValueError("too large")
    document: object = json.loads(answer.content)
    if not isinstance(document, dict):
        raise ValueError("no object")  # noqa: TRY004 - a bad document like any other
    return cast("JsonObject", document)


def _identity(tenant: str, provider: OidcProvider, claims: dict[str, Any], after: str) -> Identity:
    subject = str(claims["sub"])
    held = claims.get(provider.groups_claim)
    values = {held} if isinstance(held, str) else {str(value) for value in cast("list[object]", held or [])}
    methods = claims.get("amr")
    proofs = {str(claims.get("acr", ""))} | {str(value) for value in cast("list[object]", methods or [])}
    person = claims.get(provider.person_claim)
    if provider.person_claim == "email" and claims.get("email_verified") is not True:
        person = None  # an address that anybody may claim joins nobody's accounts
    return Identity(
        tenant=tenant,
        issuer=provider.issuer,
        username=opaque_id("oidc", provider.issuer, subject),
        person=str(person).lower()[:200] if person else opaque_id("person", provider.issuer, subject),
        display_name=str(claims.get("name") or claims.get("preferred_username") or person or subject)[:200],
        groups=tuple(sorted(name for name, wanted in provider.groups.items() if values & set(wanted))),
        roles=tuple(sorted(name for name, wanted in provider.roles.items() if values & set(wanted))),
        authenticated_at=int(float(claims.get("auth_time") or claims["iat"])),
        multi_factor=bool(proofs & set(provider.multi_factor)),
        next=after,
    )
