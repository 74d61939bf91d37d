"""Processes by pid and start time: a pid alone may have gone to somebody else."""

import signal
import time
from dataclasses import dataclass

import psutil

__all__ = ["ProcessId", "ask_to_stop", "end", "exit_text", "identify", "is_alive"]

# The start time is derived from the boot time, which moves a little when the clock is set.
_START_TOLERANCE_S = 2.0
_LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process that cannot be mistaken for another."""

    pid: int
    """Process id."""
    started_at_s: float
    """When it started. Seconds since 1970."""


def identify(pid: int) -> ProcessId | None:
    """The identity of a running process; None when there is none."""
    try:
        return ProcessId(pid, psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def is_alive(process: ProcessId) -> bool:
    """Whether exactly this process still runs."""
    return _find(process) is not None


def end(process: ProcessId, stop_signal: signal.Signals, limit_s: float) -> bool:
    """Ask a process to stop, then kill it. Returns whether it was there at all."""
    if not ask_to_stop(process, stop_signal):
        return False
    if not _wait(process, limit_s):
        ask_to_stop(process, signal.SIGKILL)
        _wait(process, limit_s)
    return True


def exit_text(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _wait(process: ProcessId, limit_s: float) -> bool:
    # Not psutil's wait: in a container whose first process reaps nobody, a zombie would count as running for ever.
    until_s = time.monotonic() + limit_s
    while is_alive(process):
        if time.monotonic() > until_s:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True


def _find(process: ProcessId) -> psutil.Process | None:
    try:
        found = psutil.Process(process.pid)
        same = abs(found.create_time() - process.started_at_s) < _START_TOLERANCE_S
        return found if same and found.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def ask_to_stop(process: ProcessId, stop_signal: signal.Signals) -> bool:
    """Send a signal to exactly this process. Returns whether it was there."""
    found = _find(process)
    if found is None:
        return False
    try:
        found.send_signal(stop_signal)
    except psutil.NoSuchProcess:
        return False
    return True
