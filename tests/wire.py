"""Bytes on the wire that two readers could read differently, and what a server says to them."""

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

WAIT_S = 20
SECOND = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
"""What stands behind each: a page that everybody may see. Whoever takes it for a request answers 200, and then ends."""


@dataclass(frozen=True)
class Door:
    """Where a server takes posts."""

    port: int
    path: str

    @property
    def host(self) -> bytes:
        """What a visitor calls it."""
        return f"127.0.0.1:{self.port}".encode()

    def post(self, *headers: bytes, body: bytes = b"a=b", host: bytes | None = None) -> bytes:
        """A request with these headers and no others."""
        lines = [f"POST {self.path} HTTP/1.1".encode(), b"Host: " + (self.host if host is None else host), *headers]
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    def exchange(self, data: bytes) -> bytes:
        """Everything that comes back until the other side closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S) as line:
            # Our side stays open: a server that hears of its end may drop what it would have answered otherwise.
            got = b""
            # A server that ends before it has read everything resets the connection.
            with suppress(ConnectionResetError, BrokenPipeError):
                line.sendall(data)
                while more := line.recv(65_536):
                    got += more
        return got

    def statuses(self, data: bytes) -> list[str]:
        """The status of each answer until the other side closes."""
        return [part[:3].decode() for part in self.exchange(data).split(b"HTTP/1.1 ")[1:]]


Made = Callable[[Door], bytes]
AMBIGUOUS: dict[str, Made] = {
    "two lengths": lambda door: door.post(b"Content-Length: 3", b"Content-Length: 30", body=b"a=b" + SECOND),
    "a list of lengths": lambda door: door.post(b"Content-Length: 3, 30", body=b"a=b" + SECOND),
    "length and chunks": lambda door: door.post(
        b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SECOND
    ),
    "chunks and length": lambda door: door.post(
        b"transfer-encoding: CHUNKED", b"content-length: 5", body=b"0\r\n\r\n" + SECOND
    ),
    "chunks of another name": lambda door: door.post(
        b"Transfer-Encoding: xchunked", b"Content-Length: 3", body=b"a=b" + SECOND
    ),
    "chunks twice": lambda door: door.post(
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n" + SECOND
    ),
    "a signed length": lambda door: door.post(b"Content-Length: +3", body=b"a=b" + SECOND),
    "a negative length": lambda door: door.post(b"Content-Length: -3", body=b"a=b" + SECOND),
    "a length in hex": lambda door: door.post(b"Content-Length: 0x3", body=b"a=b" + SECOND),
    "a length of 5,000 digits": lambda door: door.post(b"Content-Length: " + b"9" * 5_000, body=b"a=b" + SECOND),
    "a space before the colon": lambda door: door.post(b"Content-Length : 3", body=b"a=b" + SECOND),
    "a folded header": lambda door: door.post(b"X-A: b", b" Content-Length: 30", body=b"a=b" + SECOND),
    "a zero byte": lambda door: door.post(b"X-A: b\x00c", body=b""),
    "a bare return": lambda door: door.post(b"X-A: b\rContent-Length: 30", body=b""),
    "a wrong chunk size": lambda door: door.post(
        b"Transfer-Encoding: chunked", body=b"zz\r\na=b\r\n0\r\n\r\n" + SECOND
    ),
    "two hosts": lambda door: door.post(b"Host: evil.example", b"Content-Length: 0", body=b""),
    "no host": lambda _door: b"GET /requests HTTP/1.1\r\n\r\n",
    "an old protocol": lambda _door: b"GET /requests HTTP/0.9\r\n\r\n",
    "no protocol": lambda _door: b"GET /requests\r\n\r\n",
    "a newer protocol": lambda _door: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "headers without an end": lambda door: door.post(*(b"X-%d: " % i + b"y" * 900 for i in range(90)))[:-7],
    "one header without an end": lambda door: door.post(b"X-A: " + b"y" * 80_000)[:-7],
    "an address without an end": lambda _door: b"GET /" + b"a" * 80_000,
}
"""No server of ours may answer any of these with anything but a refusal."""
