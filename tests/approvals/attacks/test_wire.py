"""Bytes on the wire that two readers could read differently: one answer, and the connection ends."""

import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
import uvicorn

from approvals.app import create_app
from settings.serving import serving
from tests.approvals.scene import settings_for
from tests.conftest import DatabaseAddresses
from tests.wire import AMBIGUOUS, SECOND, WAIT_S, Door, Made

pytestmark = pytest.mark.req("A1")


@pytest.fixture(scope="module")
def door(module_database: DatabaseAddresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A form on a real socket, served as its process serves it."""
    folder: Path = tmp_path_factory.mktemp("wire")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
    app = create_app(settings_for(module_database.url, folder, port=number, temporal_address="127.0.0.1:1"))
    server = uvicorn.Server(serving(app, host="127.0.0.1", port=number, log_level="critical"))
    thread = Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.02)
    yield Door(number, "/sign-in")
    server.should_exit = True
    thread.join(WAIT_S)


AT_THE_FORM: dict[str, Made] = {
    **AMBIGUOUS,
    "length and chunks from our own form": lambda door: door.post(
        b"Origin: http://" + door.host, b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SECOND
    ),
    "another host": lambda door: door.post(b"Content-Length: 0", body=b"", host=b"evil.example"),
    "a host with an address": lambda door: (
        b"GET http://evil.example/ HTTP/1.1\r\nHost: " + door.host + b".evil\r\nConnection: close\r\n\r\n"
    ),
}


@pytest.mark.parametrize("what", AT_THE_FORM)
def test_a_message_with_two_readings_is_refused_and_nothing_behind_it_is_read(what: str, door: Door) -> None:
    assert [status for status in door.statuses(AT_THE_FORM[what](door)) if not status.startswith("4")] == []


def test_an_answer_carries_no_header_that_a_visitor_wrote(door: Door) -> None:
    lines = b"GET /sign-in?next=/requests%0d%0aset-cookie:%20a=b%0d%0a HTTP/1.1\r\n"
    head, _, body = door.exchange(lines + b"Host: " + door.host + b"\r\nConnection: close\r\n\r\n").partition(
        b"\r\n\r\n"
    )
    assert b"set-cookie" not in head.lower()
    assert b"set-cookie" not in body.lower()
