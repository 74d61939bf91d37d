"""Ports: who looks for a free one gets one that nobody else finds meanwhile."""

import asyncio
import socket

from workers.embedded.ports import is_free, some_free

HOST = "127.0.0.1"


async def test_a_port_that_was_found_is_found_by_nobody_else_and_waits_for_its_server() -> None:
    ours = [some_free() for _ in range(300)]
    assert len(set(ours)) == len(ours)
    theirs: set[int] = set()
    for _ in range(1_000):
        with socket.socket() as other:
            other.bind((HOST, 0))
            theirs.add(other.getsockname()[1])
    assert theirs.isdisjoint(ours)
    assert is_free(ours[0])
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), HOST, ours[0])
    async with server:
        assert not is_free(ours[0])
