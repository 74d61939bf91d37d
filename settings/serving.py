"""How each process of ours serves HTTP: the same server and the same door, whatever stands behind it."""

from http import HTTPStatus
from typing import Literal

import uvicorn
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from settings.http_log import HttpLog

__all__ = ["serving"]

_MAX_HEAD_BYTES = 32 * 1024
_KEEP_ALIVE_S = 30


def serving(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    grace_s: int | None = None,
    log_level: str = "warning",
    lifespan: Literal["auto", "off"] = "auto",
) -> uvicorn.Config:
    """The server's configuration. `grace_s`: how long requests under way may take when it ends; None: as they like."""
    return uvicorn.Config(
        HttpLog(_OneLength(app)),
        host=host,
        port=port,
        log_config=None,  # its lines are written as all others of the process
        log_level=log_level,
        lifespan=lifespan,
        access_log=False,
        server_header=False,
        # One reader of the wire and one protocol, whatever else is installed: the tests are of this one.
        http="h11",
        ws="none",
        timeout_graceful_shutdown=grace_s,
        timeout_keep_alive=_KEEP_ALIVE_S,
        h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
    )


class _OneLength:
    """Refuses a request that states its length twice (RFC 9112, 6.1), and reads nothing behind it.

    The server takes chunks over a Content-Length, and another reader on the way perhaps not: what stands behind it is
    the rest of this request to one of them, and a request of its own to the other. Two lengths of one kind the server
    refuses itself.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if "content-length" in headers and "transfer-encoding" in headers:
                await _REFUSAL(scope, receive, send)
                return
        await self._app(scope, receive, send)


_REFUSAL = PlainTextResponse(
    "refused: a body has one length (RFC 9112, 6.1)\n",
    HTTPStatus.BAD_REQUEST,
    {"connection": "close", "x-content-type-options": "nosniff"},
)
