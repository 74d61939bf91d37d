"""Runs whose services and models fail in ways that quote what they were sent: it is written nowhere."""

import json
import logging
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from joserfc.jwk import OKPKey

from contracts.agent import Stage
from contracts.outcome import Outcome
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import installed, write_key
from tests.secrets.search import credentials_in, dumped_tables, files_below, found_in, histories

pytestmark = pytest.mark.req("I5")

CANARY = "canary-of-a-run-000000000000000000000005"


@contextmanager
def quoting_server() -> Generator[tuple[str, list[str]]]:
    """Refuses everything, and repeats what it was sent: headers and body. Its address, and what it saw."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0"))).decode("utf-8", "replace")
            said = f"{dict(self.headers)} {body}"
            seen.append(said)
            text = json.dumps(
                {"error": {"message": said, "code": said, "type": said}, "code": said, "message": said,
                 "error_description": said}
            ).encode()  # fmt: skip
            self.send_response(401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_address[1]}", seen
    http.shutdown()
    http.server_close()
    thread.join()


def changes_of(case: str, url: str, folder: Path) -> tuple[dict[str, object], dict[str, str]]:
    """Settings that make a run send a secret to the quoting server, and the secret."""
    match case:
        case "key of a model":
            changes: dict[str, object] = {
                "model_provider": "compatible", "openai_base_url": f"{url}/v1", "openai_api_key": CANARY,
                "compatible_model": "some-model",
            }  # fmt: skip
            return changes, {"model key": CANARY}
        case "secret of a service":
            credentials: dict[str, object] = {"kind": "secret", "secret": "env:CANARY_OF_A_SERVICE"}
            return {"services": {"backoffice": {"url": url, "credentials": credentials}}}, {"service secret": CANARY}
        case "credential of a call":
            return {"services": {"backoffice": url}}, {}
        case _:
            key = OKPKey.generate_key("Ed25519").as_dict(private=True)
            (folder / "client.jwk").write_text(json.dumps(key))
            credentials = {
                "kind": "token_exchange", "token_endpoint": f"{url}/token", "issuer": url, "jwks": f"{url}/jwks",
                "client_id": "countersign", "client_key": f"file:{folder / 'client.jwk'}", "audience": "backoffice",
            }  # fmt: skip
            return {"services": {"backoffice": {"url": url, "credentials": credentials}}}, {"client key": str(key["d"])}


@pytest.mark.parametrize(
    "case", ["key of a model", "secret of a service", "credential of a call", "assertion for a token"]
)
async def test_what_a_failing_peer_quotes_is_written_nowhere(
    case: str,
    tmp_path: Path,
    database: DatabaseAddresses,
    temporal_address: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CANARY_OF_A_SERVICE", CANARY)
    caplog.set_level(logging.DEBUG)
    private, public = write_key(tmp_path / "credential", "credential")
    with quoting_server() as (url, seen), Server(tmp_path, str(public)) as backoffice:
        changes, secrets = changes_of(case, url, tmp_path)
        async with installed(
            tmp_path / "run", database.url, temporal_address, backoffice, private, stage=Stage.LIMITED_AUTONOMY,
            tier_ceiling=3, worker=True, **changes,
        ) as installation:  # fmt: skip
            report = await (await installation.start({"ticket_id": "TIC-2001"})).result()
            places = await histories(installation.client)
        places = {name: text for name, text in places.items() if report.run_id in name}
    assert report.outcome is not Outcome.COMPLETED
    assert seen, "the peer was asked"
    assert any(all(secret in one for secret in secrets.values()) for one in seen) or "client key" in secrets
    places |= dumped_tables(database.owner_url)
    places |= files_below(tmp_path / "run", without=("keys",))
    captured = capfd.readouterr()
    places |= {"log": caplog.text.encode(), "stdout": captured.out.encode(), "stderr": captured.err.encode()}
    for name, folder in (("vote key", tmp_path / "run" / "keys" / "vote.jwk"), ("credential key", private)):
        secrets[name] = json.loads(folder.read_text())["d"]
    assert found_in(places, secrets) == []
    assert credentials_in(places)[0] == []
    assert report.run_id.encode() in places["table public.runs"]
    assert places["log"]
