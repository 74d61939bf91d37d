"""The door: a request that states its length twice is refused, and nothing behind it is read."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from examples.backoffice.pipeline import json_error


class OneLength:
    """ASGI middleware. Two readers of such a request would not agree on where it ends (RFC 9112, 6.1)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] != "http" or not {"content-length", "transfer-encoding"} <= set(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        refusal = json_error(400, "length_ambiguous", "Send Content-Length or Transfer-Encoding, not both.")
        refusal.headers["connection"] = "close"
        await refusal(scope, receive, send)
