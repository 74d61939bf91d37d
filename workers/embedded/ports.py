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
    """Any free port, chosen by the system."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
