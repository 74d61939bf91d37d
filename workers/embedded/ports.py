"""TCP ports: whether one is free, and the next that is."""

import socket
from collections.abc import Collection

from workers.embedded.errors import StackError

__all__ = ["is_free", "next_free", "some_free"]

_TRIES_MAX = 100
_PORT_MAX = 65_535


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: a port in TIME_WAIT after a restart counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def next_free(port: int, host: str = "127.0.0.1", *, taken: Collection[int] = ()) -> int:
    """The port itself, or the first free one above it that is not in `taken`."""
    for candidate in range(port, min(port + _TRIES_MAX, _PORT_MAX + 1)):
        if candidate not in taken and is_free(candidate, host):
            return candidate
    raise StackError(f"no free port from {port} to {port + _TRIES_MAX - 1} on {host}. Stop what holds them.")


def some_free(host: str = "127.0.0.1") -> int:
    """Any free port, chosen by the system, and chosen for nobody else within the next minute.

    A connection that was closed holds it for that time (TIME_WAIT): only who asks for this very port gets it, as
    servers do, which set SO_REUSEADDR. Else two that look for one at once would now and then find the same.
    """
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, 0))
        listening.listen(1)
        port = int(listening.getsockname()[1])
        with socket.create_connection((host, port)):
            listening.accept()[0].close()  # first: who closes first waits
    return port
