"""The issuer may rotate its keys, start later than we do, and publish by file or by address."""

import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.examples.caller import Caller
from tests.examples.server import Server
from tests.examples.tokens import Issuer


def test_rotated_key_file_is_read_again_and_the_old_key_withdrawn(server: Server, caller: Caller) -> None:
    issuer = caller.issuer
    old_key = issuer.key
    assert caller.order().is_success
    issuer.rotate()
    assert caller.order().is_success
    new_key, issuer.key = issuer.key, old_key
    try:
        assert caller.order().json()["code"] == "token_key_unknown"
    finally:
        issuer.key = new_key


def test_service_starts_before_its_issuer_and_says_that_it_is_not_ready(tmp_path: Path) -> None:
    jwks_file = tmp_path / "late.json"
    with Server(tmp_path, str(jwks_file)) as server:
        assert server.http.get("/healthz").status_code == 200
        waiting = server.http.get("/readyz")
        assert (waiting.status_code, waiting.json()["status"][:5]) == (503, "keys:")
        caller = Caller(Issuer(tmp_path / "other.json"), server)
        assert (caller.order().status_code, caller.order().json()["code"]) == (503, "unavailable")
        jwks_file.write_text(caller.issuer.key_set(), encoding="utf-8")
        assert server.http.get("/readyz").status_code == 200
        assert caller.order().is_success


def test_private_keys_in_a_key_set_are_not_used(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path / "jwks.json")
    issuer.jwks_file.write_text(json.dumps({"keys": [issuer.key.as_dict(private=True)]}), encoding="utf-8")
    with Server(tmp_path, str(issuer.jwks_file)) as server:
        assert server.http.get("/readyz").status_code == 503


class _Publisher:
    """Serves an issuer's key set over HTTP and counts how often it was asked."""

    def __init__(self, issuer: Issuer) -> None:
        publisher = self
        self.fetches = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.fetches += 1
                body = issuer.key_set().encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/jwks.json"


@pytest.fixture
def publisher(issuer: Issuer) -> Generator[_Publisher]:
    publisher = _Publisher(issuer)
    thread = threading.Thread(target=publisher.http.serve_forever, daemon=True)
    thread.start()
    yield publisher
    publisher.http.shutdown()
    publisher.http.server_close()
    thread.join()


def test_unknown_key_id_fetches_the_published_set_but_strangers_cause_no_flood(
    issuer: Issuer, publisher: _Publisher, tmp_path: Path
) -> None:
    with Server(tmp_path, publisher.url) as server:
        caller = Caller(issuer, server)
        assert caller.order().is_success
        assert publisher.fetches == 1
        for _ in range(20):
            token = issuer.sign({}, header={"kid": "stranger"})
            server.http.get("/orders/ORD-1001", headers={"Authorization": f"Bearer {token}"})
        assert publisher.fetches <= 4
