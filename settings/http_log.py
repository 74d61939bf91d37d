"""A line for each answer over HTTP, and a number for each request that its lines and its answer carry."""

import logging
import re
import secrets
import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from settings.logs import begin, note

__all__ = ["HEADER", "HttpLog", "note_address", "number_of"]

HEADER = "x-request-id"
_LOG = logging.getLogger("http")
_SCOPE = "countersign.number"
_GIVEN = re.compile(r"[A-Za-z0-9_-]{8,64}")
_ID = re.compile(r"[a-z0-9_-]{1,64}")
_NAMES = {"run_id": "run", "request_id": "approval", "endpoint": "endpoint"}
"""Parameters of addresses that lines name, and what they call them."""
_QUIET = ("/healthz", "/readyz", "/static/", "/.well-known/")
"""Asked for all the time: told at the level `debug` alone."""
_FAULT = 500


class HttpLog:
    """ASGI middleware around all others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, then say so. An address is told as its route has it: what somebody typed into it is not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        number = scope[_SCOPE] = given if _GIVEN.fullmatch(given) else secrets.token_hex(8)
        began_s = time.perf_counter()
        status = _FAULT

        async def numbered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = number
            await send(message)

        # Never taken back: the server tells of a fault after this has ended, in the request's own task.
        begin(http=number)
        try:
            await self._app(scope, receive, numbered)
        finally:
            note_address(scope)
            address = _address(scope)
            level = logging.DEBUG if address.startswith(_QUIET) else logging.INFO
            took_ms = (time.perf_counter() - began_s) * 1_000
            _LOG.log(level, "%s %s: %d in %.0f ms", _method(scope), address, status, took_ms)


def number_of(scope: Scope) -> str:
    """The number that the lines of a request carry; empty: it has none."""
    return scope.get(_SCOPE, "")


def note_address(scope: Scope) -> None:
    """Lines name the run, request and endpoint that the address names, once its route is known."""
    found: Mapping[str, object] = scope.get("path_params", {})
    note(**{name: str(found[key]) for key, name in _NAMES.items() if _ID.fullmatch(str(found.get(key, "")))})


def _address(scope: Scope) -> str:
    route = scope.get("route")
    if route is not None:  # only FastAPI says which
        return route.path
    is_known = "endpoint" in scope and not scope["path_params"]
    return scope["path"] if is_known else "an unknown address"


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method.isascii() and method.isalpha() else "?"
