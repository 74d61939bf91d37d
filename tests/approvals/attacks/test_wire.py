"""Bytes on the wire that two readers could read differently: one answer, and the connection ends."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest
import uvicorn

from approvals.app import create_app
from tests.approvals.scene import settings_for
from tests.conftest import DatabaseAddresses

pytestmark = pytest.mark.req("A1")
WAIT_S = 20
SECOND = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def port(module_database: DatabaseAddresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A form on a real socket, served as its process serves it."""
    folder: Path = tmp_path_factory.mktemp("wire")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
    app = create_app(settings_for(module_database.url, folder, port=number, temporal_address="127.0.0.1:1"))
    server = uvicorn.Server(
        uvicorn.Config(app, port=number, log_level="critical", h11_max_incomplete_event_size=32_768)
    )
    thread = Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.02)
    yield number
    server.should_exit = True
    thread.join(WAIT_S)


def answers(port: int, data: bytes) -> list[bytes]:
    """Status lines of everything that comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as line:
        line.sendall(data)
        line.shutdown(socket.SHUT_WR)
        got = b""
        while more := line.recv(65_536):
            got += more
    return [part.split(b"\r\n", 1)[0][:3] for part in got.split(b"HTTP/1.1 ")[1:]]


def post(port: int, *headers: bytes, body: bytes = b"a=b", host: bytes | None = None) -> bytes:
    name = host if host is not None else f"127.0.0.1:{port}".encode()
    lines = [b"POST /sign-in HTTP/1.1", b"Host: " + name, *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


Made = Callable[[int], bytes]
SMUGGLED: dict[str, Made] = {
    "two lengths": lambda port: post(port, b"Content-Length: 3", b"Content-Length: 30", body=b"a=b" + SECOND),
    "a list of lengths": lambda port: post(port, b"Content-Length: 3, 30", body=b"a=b" + SECOND),
    "length and chunks": lambda port: post(
        port, b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SECOND
    ),
    "length and chunks from our own form": lambda port: post(
        port, f"Origin: http://127.0.0.1:{port}".encode(), b"Content-Length: 5", b"Transfer-Encoding: chunked",
        body=b"0\r\n\r\n" + SECOND,
    ),
    "chunks of another name": lambda port: post(
        port, b"Transfer-Encoding: xchunked", b"Content-Length: 3", body=b"a=b" + SECOND
    ),
    "chunks twice": lambda port: post(
        port, b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n" + SECOND
    ),
    "a signed length": lambda port: post(port, b"Content-Length: +3", body=b"a=b" + SECOND),
    "a negative length": lambda port: post(port, b"Content-Length: -3", body=b"a=b" + SECOND),
    "a length in hex": lambda port: post(port, b"Content-Length: 0x3", body=b"a=b" + SECOND),
    "a length of 5,000 digits": lambda port: post(port, b"Content-Length: " + b"9" * 5_000, body=b"a=b" + SECOND),
    "a space before the colon": lambda port: post(port, b"Content-Length : 3", body=b"a=b" + SECOND),
    "a folded header": lambda port: post(port, b"X-A: b", b" Content-Length: 30", body=b"a=b" + SECOND),
    "a zero byte": lambda port: post(port, b"X-A: b\x00c", body=b""),
    "a bare return": lambda port: post(port, b"X-A: b\rContent-Length: 30", body=b""),
    "a wrong chunk size": lambda port: post(
        port, b"Transfer-Encoding: chunked", body=b"zz\r\na=b\r\n0\r\n\r\n" + SECOND
    ),
    "two hosts": lambda port: post(port, b"Host: evil.example", b"Content-Length: 0", body=b""),
    "no host": lambda _port: b"GET /requests HTTP/1.1\r\n\r\n",
    "another host": lambda port: post(port, b"Content-Length: 0", body=b"", host=b"evil.example"),
    "a host with an address": lambda port: (
        f"GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1:{port}.evil\r\nConnection: close\r\n\r\n".encode()
    ),
    "an old protocol": lambda _port: b"GET /requests HTTP/0.9\r\n\r\n",
    "no protocol": lambda _port: b"GET /requests\r\n\r\n",
    "a newer protocol": lambda _port: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "headers without an end": lambda port: post(port, *(b"X-%d: " % i + b"y" * 900 for i in range(50)), body=b""),
    "one header without an end": lambda port: post(port, b"X-A: " + b"y" * 40_000, body=b""),
    "an address without an end": lambda port: (
        b"GET /" + b"a" * 40_000 + f" HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SMUGGLED)
def test_a_message_with_two_readings_is_refused_and_nothing_behind_it_is_read(what: str, port: int) -> None:
    # What stands behind it asks for a page that everybody may see: an answer to that would be a 200.
    assert [status for status in answers(port, SMUGGLED[what](port)) if not status.startswith(b"4")] == []


def test_an_answer_carries_no_header_that_a_visitor_wrote(port: int) -> None:
    lines = b"GET /sign-in?next=/requests%0d%0aset-cookie:%20a=b%0d%0a HTTP/1.1\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as line:
        line.sendall(lines + f"Host: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while more := line.recv(65_536):
            got += more
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"set-cookie" not in head.lower()
    assert b"set-cookie" not in body.lower()
