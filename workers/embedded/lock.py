"""One stack for each state folder. The system lets go of the lock when its holder dies, however it dies."""

import fcntl
import os
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from workers.embedded.errors import StackError
from workers.embedded.process import ProcessId

__all__ = ["AlreadyRunningError", "Held", "held", "holder", "is_held", "make_state_folder"]

_NAME = "stack.lock"
_TRY_S = 0.5  # longer than another command's look at the lock
_PAUSE_S = 0.02


class AlreadyRunningError(StackError):
    """A stack runs on this state folder already: see `countersign status`, or stop it with `countersign down`."""


@dataclass(frozen=True)
class Held:
    """The lock of a state folder, while it is held."""

    file: Path
    stream: IO[str]

    def is_in_place(self) -> bool:
        """Whether the folder is where it was: moved away, its path may be another stack's by now."""
        try:
            return os.path.samestat(self.file.stat(), os.fstat(self.stream.fileno()))
        except (FileNotFoundError, NotADirectoryError):
            return False

    def sign(self, process: ProcessId) -> None:
        """Say who holds it, for whoever wants it to stop."""
        self.stream.truncate(0)
        self.stream.write(f"{process.pid} {process.started_at_s}\n")
        self.stream.flush()


@contextmanager
def held(state_dir: Path) -> Generator[Held]:
    """Hold the lock of a state folder. Raises AlreadyRunningError when somebody else does."""
    file = state_dir / _NAME
    with file.open("a") as stream:
        until_s = time.monotonic() + _TRY_S
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until_s:
                    raise AlreadyRunningError(AlreadyRunningError.__doc__) from error
                time.sleep(_PAUSE_S)
        yield Held(file, stream)


def holder(state_dir: Path) -> ProcessId | None:
    """Which stack signed the lock last; None: none ever did."""
    try:
        pid, started_at_s = (state_dir / _NAME).read_text(encoding="utf-8").split()
        return ProcessId(int(pid), float(started_at_s))
    except (OSError, ValueError):
        return None


def is_held(state_dir: Path) -> bool:
    """Whether a stack runs on this state folder."""
    try:
        with (state_dir / _NAME).open("r") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except BlockingIOError:
        return True
    return False


def make_state_folder(state_dir: Path) -> None:
    """Make the folder, for its owner alone. Raises StackError: it cannot be made or written."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=state_dir):
            pass
    except OSError as error:
        raise StackError(
            f"the state folder {state_dir} cannot be written: {error.strerror}. Set COUNTERSIGN_STATE_DIR to another."
        ) from error
