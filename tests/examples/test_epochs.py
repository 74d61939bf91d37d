"""What the issuer revoked is refused at once: it tells us, or we ask; and only its signature counts."""

import threading
import time
from collections.abc import Generator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from joserfc.jwk import OKPKey

from examples.backoffice.epochs import STATEMENT_TYPE, scope_name
from tests.examples.caller import Caller
from tests.examples.server import Server
from tests.examples.tokens import Issuer, claims_of

pytestmark = pytest.mark.req("I3")

RUN = scope_name("run", "acme", "run-1")
AGENT = "support_refund"


def statement(issuer: Issuer, epochs: Mapping[str, int] | None, **changes: str | int) -> str:
    """A statement that is true now; the changes replace its claims."""
    now = int(time.time())
    claims = {
        "iss": "countersign",
        "iat": now,
        "exp": now + 60,
        "epochs": epochs if epochs is None else dict(epochs),
        **changes,
    }
    return issuer.sign(claims, header={"typ": STATEMENT_TYPE})


def push(server: Server, text: str) -> httpx.Response:
    return server.http.post("/countersign/epochs", content=text, headers={"Content-Type": "application/jwt"})


@pytest.mark.parametrize(
    "scope",
    [
        ("tenant", "*", "*"),
        ("tenant", "acme", "*"),
        ("agent", "acme", AGENT),
        ("agent", "*", AGENT),
        ("tool", "acme", "test.call"),
        ("run", "acme", "run-1"),
    ],
)
def test_pushed_epoch_is_refused_for_reads_and_writes(
    server: Server, caller: Caller, scope: tuple[str, str, str]
) -> None:
    issuer = caller.issuer
    assert push(server, statement(issuer, {scope_name(*scope): 5})).status_code == 204
    # What was told once does not go back, whoever replays an older statement.
    assert push(server, statement(issuer, {scope_name(*scope): 2})).status_code == 204
    answers = [caller.refund(claims={"epoch": 4}), caller.order(claims={"epoch": 4})]
    assert [(one.status_code, one.json()["code"]) for one in answers] == [(401, "token_revoked")] * 2
    assert server.refunds() == []
    assert caller.refund(claims={"epoch": 5}).status_code == 201


def test_other_scopes_are_left_alone(server: Server, caller: Caller) -> None:
    others = [("tenant", "globex", "*"), ("run", "acme", "run-2"), ("run", "globex", "run-1"), ("agent", "acme", "x")]
    assert push(server, statement(caller.issuer, {scope_name(*one): 9 for one in others})).status_code == 204
    assert caller.refund().status_code == 201


def test_only_the_issuer_can_tell(server: Server, caller: Caller) -> None:
    issuer, now = caller.issuer, int(time.time())
    stranger = OKPKey.generate_key("Ed25519")
    claims = {"iss": "countersign", "iat": now, "exp": now + 60, "epochs": {RUN: 9}}
    forged: dict[str, tuple[str, str]] = {
        "unsigned": ("{}", "token_malformed"),
        "another key": (issuer.sign(claims, header={"typ": STATEMENT_TYPE}, key=stranger), "token_signature_invalid"),
        "a credential": (issuer.sign(claims_of({}, "a", None, "acme")), "statement_type_invalid"),
        "another issuer": (statement(issuer, {RUN: 9}, iss="somebody"), "statement_issuer_invalid"),
        "of yesterday": (statement(issuer, {RUN: 9}, iat=now - 900, exp=now - 800), "statement_not_current"),
        "of tomorrow": (statement(issuer, {RUN: 9}, iat=now + 900, exp=now + 960), "statement_not_current"),
        "without epochs": (statement(issuer, None), "statement_invalid"),
        "plain names": (statement(issuer, {"acme": 9}), "statement_invalid"),
    }
    for name, (text, code) in forged.items():
        answer = push(server, text)
        assert (answer.status_code, answer.json()["code"]) == (401, code), name
    assert caller.refund().status_code == 201


class _Publisher:
    """Serves an issuer's statement, or nothing, and counts how often it was asked."""

    def __init__(self, issuer: Issuer) -> None:
        publisher = self
        self.fetches = 0
        self.epochs: dict[str, int] = {}
        self.is_up = True

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.fetches += 1
                body = statement(issuer, publisher.epochs).encode() if publisher.is_up else b""
                self.send_response(200 if publisher.is_up else 503)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/epochs"


@pytest.fixture
def publisher(issuer: Issuer) -> Generator[_Publisher]:
    publisher = _Publisher(issuer)
    thread = threading.Thread(target=publisher.http.serve_forever, daemon=True)
    thread.start()
    yield publisher
    publisher.http.shutdown()
    publisher.http.server_close()
    thread.join()


def test_epochs_are_asked_for_before_a_call_and_kept_for_a_while(
    issuer: Issuer, publisher: _Publisher, tmp_path: Path
) -> None:
    publisher.epochs = {RUN: 3}
    with Server(
        tmp_path, str(issuer.jwks_file), BACKOFFICE_EPOCHS=publisher.url, BACKOFFICE_EPOCHS_AGE_S="100"
    ) as server:
        caller = Caller(issuer, server)
        assert caller.refund(claims={"epoch": 2}).json()["code"] == "token_revoked"
        assert caller.refund(claims={"epoch": 3}).status_code == 201
        assert publisher.fetches == 1


def test_nothing_is_authorised_when_epochs_cannot_be_learned(
    issuer: Issuer, publisher: _Publisher, tmp_path: Path
) -> None:
    publisher.is_up = False
    with Server(tmp_path, str(issuer.jwks_file), BACKOFFICE_EPOCHS=publisher.url) as server:
        caller = Caller(issuer, server)
        answer = caller.refund()
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert server.refunds() == []
        # News that is pushed is news as well.
        assert push(server, statement(issuer, {})).status_code == 204
        assert caller.refund().status_code == 201
