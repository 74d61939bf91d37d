"""An OpenID provider that signs and answers whatever a test tells it."""

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

__all__ = ["CLAIMS", "Told", "told_provider"]

CLAIMS = {"name": "Lena Lead", "email": "Lena@Example.com", "email_verified": True, "groups": ["cs-leads", "staff"]}


@dataclass
class Told:
    """A provider that signs whatever the test says."""

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict[str, Any])
    """Beside or instead of what a proper proof holds."""
    key: OKPKey | OctKey = field(default_factory=lambda: OKPKey.generate_key("Ed25519"))
    published: OKPKey = field(default_factory=lambda: OKPKey.generate_key("Ed25519"))
    algorithm: str = "Ed25519"
    nonce: str = ""
    status: int = 200
    discovery: dict[str, str] = field(default_factory=dict[str, str])
    asked: list[dict[str, list[str]]] = field(default_factory=list[dict[str, list[str]]])

    def document(self, path: str) -> object:
        """What GET finds."""
        if path.endswith("openid-configuration"):
            base = {
                "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys",
            }  # fmt: skip
            return {**base, **self.discovery}
        return {"keys": [self.published.as_dict(private=False)]}

    def proof(self) -> str:
        """The ID token."""
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": "countersign", "sub": "subject-1", "nonce": self.nonce, "iat": now,
            "exp": now + 60, "auth_time": now, **CLAIMS, **self.claims,
        }  # fmt: skip
        header = {"alg": self.algorithm}
        said = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(header, said, self.key, algorithms=[self.algorithm])


@contextmanager
def told_provider() -> Generator[Told]:
    """It, serving."""
    provider = Told()
    provider.key = provider.published

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200, provider.document(self.path))

        def do_POST(self) -> None:
            provider.asked.append(parse_qs(self.rfile.read(int(self.headers["content-length"])).decode()))
            body = {"access_token": "opaque", "token_type": "Bearer", "id_token": provider.proof()}
            self.answer(provider.status, body if provider.status == 200 else {"error": "invalid_grant"})

        def answer(self, status: int, body: object) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    provider.issuer = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
