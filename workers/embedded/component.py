"""What the supervisor must know of a process: a value, so that another component is another line."""

import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from workers.embedded.account import Account
from workers.embedded.probe import Probe

__all__ = ["Component"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """One process of the stack."""

    name: str
    """Short name; also names the log file."""
    argv: tuple[str, ...]
    """Program (absolute path) and arguments."""
    environment: Mapping[str, str]
    """The whole environment of the process: nothing is inherited besides."""
    folder: Path
    """Working folder."""
    probe: Probe
    """How to find out that it is ready."""
    address: str
    """Where people and programs reach it; shown in the table."""
    version: str
    """Version of the program; shown in the table."""
    after: tuple[str, ...] = ()
    """Components that must be ready before this one is started for the first time."""
    prepare: Callable[[], None] | None = None
    """Runs in a thread before each start, for example to make a folder. Must be repeatable."""
    once_ready: Callable[[], Awaitable[None]] | None = None
    """Set-up that runs once, after the first readiness and before those that wait for this component."""
    account: Account | None = None
    """System account to run as; None: the supervisor's own."""
    stop_signal: signal.Signals = signal.SIGTERM
    """Asks it to stop cleanly."""
    stop_limit_s: float = 10
    """After this long a stop becomes SIGKILL. Seconds."""
    ready_limit_s: float = 60
    """After this long without readiness the start of the stack has failed. Seconds."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further facts for the table, for example the address of its pages."""

    def waiting_for(self, names: tuple[str, ...]) -> "Component":
        """The same, to be started after these."""
        return replace(self, after=names)
