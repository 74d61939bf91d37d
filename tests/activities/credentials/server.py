"""Authorization servers for tests: a certified one in its own process, and one that answers what it is told."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs

import httpx
from joserfc.jwk import OKPKey

from tests.peers.need import FOLDER, need_package

START_LIMIT_S = 30


@dataclass(frozen=True)
class RealServer:
    """oidc-provider with the token exchange grant: see tests/peers/authorization_server.mjs."""

    issuer: str
    control: str

    def answer(self, **lever: object) -> None:
        """From now on tokens have these claims, this format or this key; nothing named: proper ones."""
        httpx.post(self.control, json=lever).raise_for_status()


@contextmanager
def real_server(subject_keys: str, client_key: OKPKey, log: Path) -> Generator[RealServer]:
    """Start the server; it fetches the keys of assertions from the address."""
    node, _ = need_package("oidc-provider")
    public = {**client_key.as_dict(private=False), "kid": client_key.thumbprint(), "use": "sig"}
    wanted = json.dumps({"subjectKeys": subject_keys, "clientKey": public})
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [node, "authorization_server.mjs", wanted], cwd=FOLDER, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        yield RealServer(**json.loads(line))
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@dataclass
class Answers:
    """A server that gives prepared answers, and remembers what it was asked."""

    url: str = ""
    status: int = 200
    body: bytes = b"{}"
    delay: threading.Event | None = None
    """Set: answers wait for it."""
    asked: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    documents: dict[str, str] = field(default_factory=dict[str, str])
    """What GET finds, by path."""


@contextmanager
def told_server() -> Generator[Answers]:
    """Start a server of `Answers`."""
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200 if self.path in answers.documents else 404, answers.documents.get(self.path, "").encode())

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", "0"))
            form = parse_qs(self.rfile.read(length).decode())
            answers.asked.append({name: values[0] for name, values in form.items()})
            if answers.delay is not None:
                answers.delay.wait(20)
            self._send(answers.status, answers.body)

        def _send(self, status: int, body: bytes) -> None:
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except BrokenPipeError:
                pass  # whoever asked did not wait

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    answers.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield answers
    finally:
        if answers.delay is not None:
            answers.delay.set()
        http.shutdown()
        http.server_close()
        thread.join()


def until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def as_object(value: object) -> dict[str, object]:
    """A JSON object, for the type checker."""
    return cast("dict[str, object]", value)
