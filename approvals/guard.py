"""What holds for every request before a page is asked: known host, size, same origin. And headers on every answer."""

from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from approvals.problems import problem

__all__ = ["Guard", "allowed_origins"]

MAX_BODY_BYTES = 64 * 1024
_MAX_DIGITS = 20  # a number of more takes longer to read than it is worth
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_PROBES = {"/healthz", "/readyz"}
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; "
        # One script of our own, which may talk to us alone and can make no markup of text.
        "base-uri 'none'; script-src 'self'; connect-src 'self'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # `no-referrer` would make browsers send `Origin: null` with our own forms (Fetch, 3.2), and no site but ours
    # learns an address with this one either.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_HSTS = "max-age=31536000"


def allowed_origins(web_url: str, host: str, port: int) -> frozenset[str]:
    """The origins under which this site is reached: its public one, and the loopback names of its own socket."""
    public = urlsplit(web_url)
    origins = {f"{public.scheme}://{public.netloc}".lower()}
    if public.scheme == "http":
        origins |= {f"http://{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]", host)}
    return frozenset(origins)


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, origins: Iterable[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._hosts = frozenset(urlsplit(origin).netloc for origin in self._origins)
        self._is_https = any(origin.startswith("https://") for origin in self._origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse what no page should see; pass on the rest."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        sealed = self._sealing(send, is_static=scope["path"].startswith("/static/"))
        if refusal is not None:
            await refusal(scope, receive, sealed)
            return
        await self._app(scope, _limited(receive), sealed)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        # A page of another name that resolves to this machine must not read anything here (DNS rebinding).
        if scope["path"] not in _PROBES and headers.get("host", "").lower() not in self._hosts:
            return _refused(scope, 421, "unknown host: open the address in COUNTERSIGN_WEB_URL")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > _MAX_DIGITS or int(length) > MAX_BODY_BYTES:
            return _refused(scope, 413, f"too large: at most {MAX_BODY_BYTES} bytes")
        # The API takes its token from a header that no foreign page can set, so it has nothing to forge.
        if scope["method"] in _SAFE_METHODS or scope["path"].startswith("/api/"):
            return None
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return _refused(scope, 403, "refused: the form was not sent from this site")
        if headers.get("origin", "").lower() not in self._origins:
            return _refused(scope, 403, "refused: the form was not sent from this site")
        return None

    def _sealing(self, send: Send, *, is_static: bool) -> Send:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    # A page may be shut in more tightly than all others, never less.
                    if name != "content-security-policy" or not headers.get(name, "").endswith("; sandbox"):
                        headers[name] = value
                if self._is_https:
                    headers["strict-transport-security"] = _HSTS
                if not is_static or message["status"] != HTTPStatus.OK:
                    headers["cache-control"] = "no-store"
            await send(message)

        return sealed


def _refused(scope: Scope, status: int, why: str) -> Response:
    answer = problem(status, why) if scope["path"].startswith("/api/") else PlainTextResponse(f"{why}\n", status)
    # Nothing behind it is read: it may be the rest of this one, as another reader on the way saw it.
    answer.headers["connection"] = "close"
    return answer


def _limited(receive: Receive) -> Receive:
    """Count a body that comes without a length, or with a false one."""
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                return {"type": "http.disconnect"}
        return message

    return limited
