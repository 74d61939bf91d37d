"""One stack for each state folder. The system lets go of the lock when its holder dies, however it dies."""

import fcntl
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from workers.embedded.errors import StackError

__all__ = ["AlreadyRunningError", "held", "is_held"]

_NAME = "stack.lock"
_TRY_S = 0.5  # longer than another command's look at the lock
_PAUSE_S = 0.02


class AlreadyRunningError(StackError):
    """A stack runs on this state folder already: see `countersign status`, or stop it with `countersign down`."""


@contextmanager
def held(state_dir: Path) -> Generator[None]:
    """Hold the lock of a state folder. Raises AlreadyRunningError when somebody else does."""
    with (state_dir / _NAME).open("a") as stream:
        until_s = time.monotonic() + _TRY_S
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until_s:
                    raise AlreadyRunningError(AlreadyRunningError.__doc__) from error
                time.sleep(_PAUSE_S)
        yield


def is_held(state_dir: Path) -> bool:
    """Whether a stack runs on this state folder."""
    try:
        with (state_dir / _NAME).open("r") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
