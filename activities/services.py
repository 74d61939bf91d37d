"""HTTP to the systems that tools talk to: a credential per request, faults told apart by what is known."""

import asyncio
from collections.abc import Callable, Mapping
from json import loads as parse_json
from typing import cast

import httpx
from pydantic import JsonValue

from activities.credentials import CallIdentity, Credential, CredentialIssuer
from contracts.base import JsonObject
from contracts.tool import Ambiguous, RateLimited, RefusedBeforeSend, Rejected, ServiceReply

__all__ = ["CallContext", "Services"]

_MAX_REPLY_BYTES = 4 * 1024 * 1024
_MAX_RETRY_AFTER_S = 3_600.0
_TOO_MANY = 429
_CLIENT_ERROR = 400
_ABOUT_THIS_REQUEST = frozenset({401, 403, 407, 408, 409, 421, 425})
"""Refusals of a credential, or of a request beside another under the same key: of an earlier one they tell nothing."""
_SERVER_ERROR = 500
_CREDENTIAL_SHARE = 0.5
"""Part of a tool's time that its credential may take."""
_SAFE = frozenset({"GET", "HEAD"})
_CONNECTIONS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=2.0)
"""Servers close idle connections, usually after five seconds: a write sent into such an end would be in doubt."""


class Services:
    """The services that the settings name, with their connections."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = dict(addresses)
        self._clients: dict[str, httpx.AsyncClient] = {}

    def client(self, name: str) -> httpx.AsyncClient:
        """The client of a service. No proxies, redirects or environment: a tool reaches its service and nothing else.

        Raises:
            RefusedBeforeSend: no address is configured.
        """
        if name not in self._addresses:
            raise RefusedBeforeSend(
                f"no address for service {name!r}: set COUNTERSIGN_SERVICES", code="unknown_service"
            )
        if name not in self._clients:
            self._clients[name] = httpx.AsyncClient(
                base_url=self._addresses[name], trust_env=False, follow_redirects=False, limits=_CONNECTIONS
            )
        return self._clients[name]

    async def close(self) -> None:
        """End all connections."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()


class CallContext:
    """What one attempt of a tool is given: `contracts.tool.ToolContext`."""

    def __init__(
        self,
        services: Services,
        issuer: CredentialIssuer,
        identity: CallIdentity,
        arguments: JsonObject,
        *,
        timeout_s: float,
        may_write: bool,
        beat: Callable[[str], None],
    ) -> None:
        self._services = services
        self._issuer = issuer
        self._identity = identity
        self._arguments = arguments
        self._timeout_s = timeout_s
        self._may_write = may_write
        self._beat = beat

    def service(self, name: str) -> "CallContext":
        """See `ToolContext.service`."""
        if name != self._identity.service:
            raise RefusedBeforeSend(f"{self._identity.tool} declares no service {name!r}", code="undeclared_service")
        return self

    def heartbeat(self, note: str) -> None:
        """See `ToolContext.heartbeat`."""
        self._beat(note)

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: JsonObject | None = None,
        params: Mapping[str, str | int] | None = None,
        arguments: JsonObject | None = None,
    ) -> ServiceReply:
        """See `contracts.tool.Service.request`."""
        writes = method.upper() not in _SAFE
        if writes and not self._may_write:
            raise RefusedBeforeSend(f"{self._identity.tool} may only read here", code="read_only")
        bound = self._arguments if writes or arguments is None else arguments
        identity = self._identity if writes else self._identity.model_copy(update={"effect_key": None})
        client = self._services.client(identity.service)
        credential = await self._credential(identity, bound)
        headers = {credential.header: credential.value}
        if writes and identity.effect_key:
            headers["Idempotency-Key"] = identity.effect_key
        try:
            response = await client.request(
                method, path, json=json, params=params, headers=headers, timeout=self._timeout_s
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
            raise RefusedBeforeSend(f"{identity.service} cannot be reached", code="unreachable") from error
        except httpx.TimeoutException as error:
            raise Ambiguous(f"{identity.service} did not answer in {self._timeout_s:g} s", code="timeout") from error
        except httpx.HTTPError as error:
            raise Ambiguous(f"{identity.service} broke off: {type(error).__name__}", code="broken_off") from error
        return _reply(identity.service, response, credential)

    async def _credential(self, identity: CallIdentity, arguments: JsonObject) -> Credential:
        """A credential, or the reason why nothing is sent. Never the end of the tool's own time, which would tell less.

        Raises:
            RefusedBeforeSend: whatever went wrong: nothing has left this process.
        """
        try:
            async with asyncio.timeout(self._timeout_s * _CREDENTIAL_SHARE):
                return await self._issuer.mint(identity, arguments)
        except RefusedBeforeSend:
            raise
        except TimeoutError:
            raise RefusedBeforeSend(f"no credential for {identity.service} in time", code="token_timeout") from None
        except Exception as error:  # noqa: BLE001 - an issuer may fail in any way, before anything was sent
            # Not chained: what an issuer held when it failed must not reach a log.
            raise RefusedBeforeSend(
                f"no credential for {identity.service}: {type(error).__name__}", code="no_credential"
            ) from None


def _reply(service: str, response: httpx.Response, credential: Credential) -> ServiceReply:
    body = _body(response, credential)
    if response.status_code < _CLIENT_ERROR and body is not None:
        return ServiceReply(status=response.status_code, body=body)
    said = cast("JsonObject", body) if isinstance(body, dict) else {}
    code = str(said.get("code") or f"http_{response.status_code}")[:80]
    words = f"{service} answered {response.status_code}: {str(said.get('message') or code)[:400]}"
    if response.status_code == _TOO_MANY:
        raise RateLimited(words, retry_after_s=_retry_after(response))
    if _CLIENT_ERROR <= response.status_code < _SERVER_ERROR:
        raise Rejected(words, code=code, settles_key=response.status_code not in _ABOUT_THIS_REQUEST)
    # A redirect, a server error or an answer that cannot be read: the effect may have happened.
    raise Ambiguous(words, code=code)


def _body(response: httpx.Response, credential: Credential) -> JsonValue:
    if len(response.content) > _MAX_REPLY_BYTES:
        return None
    try:
        # What a service says reaches models, histories and logs. Some repeat what they were sent.
        return cast("JsonValue", parse_json(credential.absent_from(response.content)))
    except ValueError:
        return None


def _retry_after(response: httpx.Response) -> float:
    try:
        return min(max(float(response.headers.get("retry-after", "1")), 0.0), _MAX_RETRY_AFTER_S)
    except ValueError:
        return 1.0
