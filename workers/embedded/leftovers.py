"""Processes that a killed supervisor left behind: found by what it wrote, and ended before a new start."""

import signal
from collections.abc import Callable
from pathlib import Path

from workers.embedded import stack_file
from workers.embedded.process import ProcessId, end, identify

__all__ = ["end_leftovers"]

_LIMIT_S = 15
_CLOCK_GRAIN_S = 2


def end_leftovers(state_dir: Path, say: Callable[[str], None]) -> int:
    """End what an earlier stack left running, the last first. The lock must be held. Returns how many there were."""
    file = state_dir / "stack.json"
    stack = stack_file.read(file)
    ended = 0
    for record in reversed(stack.components if stack else ()):
        if record.pid is None or record.started_at_s is None:
            continue
        process = ProcessId(record.pid, record.started_at_s)
        if end(process, signal.Signals(record.stop_signal), _LIMIT_S):
            say(f"{record.name} was still running from an earlier start (pid {record.pid}): ended")
            ended += 1
    ended += _end_unrecorded_postgres(state_dir, say)
    stack_file.remove(file)
    return ended


def _end_unrecorded_postgres(state_dir: Path, say: Callable[[str], None]) -> int:
    """Postgres names itself in its data folder: that holds even if the kill came before our own record."""
    try:
        lines = (state_dir / "postgres" / "data" / "postmaster.pid").read_text().splitlines()
        pid, started_at_s = int(lines[0]), int(lines[2])
    except (OSError, ValueError, IndexError):
        return 0
    process = identify(pid)
    # The file's time is taken a little after the process started.
    if process is None or not -_CLOCK_GRAIN_S <= started_at_s - process.started_at_s <= _LIMIT_S:
        return 0
    if not end(process, signal.SIGINT, _LIMIT_S):
        return 0
    say(f"postgres was still running from an earlier start (pid {pid}): ended")
    return 1
