"""Credentials from an OAuth authorization server: token exchange (RFC 8693) for each call, verified before it is used.

We sign what is about to happen, for the server alone, and ask for a token that is good for exactly that. What comes
back is believed only as far as it can be read: a JWT of the server, for the one audience, with no more scope, no longer
life and no other call than asked. Anything else ends the attempt before it is sent.
"""

import asyncio
import secrets
import time
from pathlib import Path

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from pydantic import ValidationError

from activities.credentials.client_key import ClientKey
from activities.credentials.identity import CallIdentity, Credential, authorization_of, claims_of
from activities.credentials.own import OwnIssuer
from activities.credentials.server_keys import ALGORITHMS, ServerKeys, UnknownKey
from activities.credentials.token_answer import Granted, TokenAnswer, TokenRefusal
from contracts.base import JsonObject
from contracts.canonical import canonical_bytes
from contracts.tool import RefusedBeforeSend
from settings.services import TokenExchange

__all__ = ["ExchangeIssuer"]

_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
_ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a kind of token
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFETIME_S = 60
_TOKEN_LIFETIME_MAX_S = 300
_CLOCK_SKEW_S = 30
_MAX_ANSWER_BYTES = 64 * 1024
_OK = 200


class ExchangeIssuer:
    """Asks one authorization server."""

    def __init__(self, config: TokenExchange, own: OwnIssuer, folder: Path) -> None:
        """Read the client key. Raises SettingsError: it cannot be had or used."""
        self._config = config
        self._own = own
        self._client_key = ClientKey(config.client_key, folder)
        # No proxies, redirects or environment: assertions go to the configured address and nowhere else.
        self._http = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=config.timeout_s)
        self._server_keys = ServerKeys(self._http, config.jwks)

    async def close(self) -> None:
        """End all connections."""
        await self._http.aclose()

    async def mint(self, identity: CallIdentity, arguments: JsonObject) -> Credential:
        """See `CredentialIssuer.mint`."""
        try:
            # One limit over everything: a server that sends a byte now and then is slow too.
            async with asyncio.timeout(self._config.timeout_s):
                token = await self._exchange(identity, arguments)
                await self._check(token, identity, arguments)
        except TimeoutError:
            raise self._refused(identity, f"did not answer in {self._config.timeout_s:g} s", "token_timeout") from None
        except httpx.HTTPError as error:
            # Not chained: the exception holds the request, and so what we signed.
            raise self._refused(identity, f"broke off: {type(error).__name__}", "token_unreachable") from None
        return Credential(f"Bearer {token}")

    async def _exchange(self, identity: CallIdentity, arguments: JsonObject) -> str:
        form = self._form(identity, arguments)
        async with self._http.stream("POST", self._config.token_endpoint, data=form) as response:
            body = await _limited(response)
        if response.status_code != _OK:
            raise self._refused(identity, f"refused: {_refusal_in(body)}", "token_refused")
        try:
            answer = TokenAnswer.model_validate_json(body)
        except ValidationError as error:
            field = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"]) or "its body"
            raise self._refused(identity, f"answered what is no token: {field}", "token_malformed") from None
        too_much = _more_than(answer.scope, identity.scopes)
        if too_much:
            raise self._refused(identity, f"granted scopes that nobody asked for: {too_much}", "token_too_wide")
        return answer.access_token.get_secret_value()

    def _form(self, identity: CallIdentity, arguments: JsonObject) -> dict[str, str]:
        config = self._config
        now_s = int(time.time())
        claims = claims_of(identity, arguments, issuer="countersign", audience=config.issuer, now_s=now_s)
        details = [authorization_of(identity, arguments)]
        form = {
            "grant_type": _GRANT,
            "subject_token": self._own.sign(claims, typ="JWT"),
            "subject_token_type": _JWT_TYPE,
            "requested_token_type": _ACCESS_TOKEN_TYPE,
            "audience": config.audience,
            "scope": " ".join(identity.scopes),
            "authorization_details": canonical_bytes(details).decode(),
            "client_id": config.client_id,
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": self._client_key.sign(
                {
                    "iss": config.client_id,
                    "sub": config.client_id,
                    "aud": config.issuer,
                    "jti": secrets.token_urlsafe(24),
                    "iat": now_s,
                    "exp": now_s + _ASSERTION_LIFETIME_S,
                }
            ),
        }
        return form | ({"resource": config.resource} if config.resource else {})

    async def _check(self, token: str, identity: CallIdentity, arguments: JsonObject) -> None:
        """Refuse a token that is not the server's, or says anything but what was asked."""
        try:
            key = await self._server_keys.of(token)
            decoded = jwt.decode(token, key, algorithms=ALGORITHMS)
            granted = Granted.model_validate(decoded.claims)
        except UnknownKey as error:
            raise self._refused(identity, str(error), "token_unverified") from None
        except ValidationError as error:
            field = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            raise self._refused(identity, f"gave a token without a proper {field}", "token_malformed") from None
        except (JoseError, ValueError, TypeError):
            raise self._refused(identity, "gave a token whose signature does not verify", "token_unverified") from None
        found = _difference(granted, self._config, identity, authorization_of(identity, arguments), time.time())
        if found:
            raise self._refused(identity, f"gave a token {found[1]}", found[0])

    def _refused(self, identity: CallIdentity, what: str, code: str) -> RefusedBeforeSend:
        words = f"no credential for {identity.service}: the authorization server {self._config.issuer} {what}"
        return RefusedBeforeSend(words, code=code)


def _difference(
    granted: Granted, config: TokenExchange, identity: CallIdentity, asked: JsonObject, now_s: float
) -> tuple[str, str] | None:
    """Code and words for what a token says that was not asked; None: nothing."""
    ends_s = min(now_s + _TOKEN_LIFETIME_MAX_S, identity.not_after_s or now_s + _TOKEN_LIFETIME_MAX_S)
    subject = f"user:{identity.tenant}/{identity.on_behalf_of}" if identity.on_behalf_of else identity.actor
    too_much = _more_than(granted.scope, identity.scopes)
    if granted.iss != config.issuer:
        return "token_wrong_issuer", "of another issuer"
    if granted.aud not in (config.audience, [config.audience]):
        return "token_wrong_audience", f"whose audience is not {config.audience} alone"
    if granted.sub != subject:
        return "token_wrong_subject", "for another subject"
    if too_much:
        return "token_too_wide", f"with scopes that nobody asked for: {too_much}"
    if set(identity.scopes) - set(granted.scope.split()):
        return "token_too_narrow", "with fewer scopes than the call needs"
    if granted.exp <= now_s:
        return "token_expired", "that is over already"
    if granted.exp > ends_s:
        # An effect in doubt may be sent again once this is over, not before: it must not be later than promised.
        return "token_too_long", f"that outlives its call by {granted.exp - ends_s:.0f} s"
    if max(granted.iat or 0, granted.nbf or 0) > now_s + _CLOCK_SKEW_S:
        return "token_not_yet_valid", "that is not valid yet"
    if len(granted.authorization_details) != 1 or any(
        granted.authorization_details[0].get(name) != value for name, value in asked.items()
    ):
        return "token_other_call", "for something else than this call"
    return None


def _more_than(granted: str | None, asked: tuple[str, ...]) -> str:
    """Scopes beyond those asked for, in words."""
    return ", ".join(sorted(set((granted or "").split()) - set(asked)))[:200]


def _refusal_in(body: bytes) -> str:
    """The server's error code. Its description is not repeated: it may quote what was sent."""
    try:
        return TokenRefusal.model_validate_json(body).error
    except ValidationError:
        return "without a reason"


async def _limited(response: httpx.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            return b""  # no token, then
    return body
