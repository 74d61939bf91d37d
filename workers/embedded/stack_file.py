"""What runs where, in a file: for `status`, for the settings of other commands, and for cleaning up after a kill."""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from workers.embedded.errors import StackError
from workers.embedded.probe import Probe

__all__ = ["ComponentRecord", "StackFile", "read", "remove", "write"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ComponentRecord(_Record):
    """One component, as it was when the file was written."""

    name: str
    """Its name."""
    state: Literal["waiting", "starting", "ready", "restarting", "stopped"]
    """Where it is in its life."""
    pid: int | None
    """Process id, while there is a process."""
    started_at_s: float | None
    """When the process started, which tells it from a later one of the same id. Seconds since 1970."""
    address: str
    """Where it is reached."""
    restarts: int
    """How often it was started again since the start of the stack."""
    version: str
    """Version of its program."""
    log_file: str
    """Where its output goes."""
    stop_signal: int
    """Signal that asks it to stop cleanly."""
    probe: Probe
    """How to ask whether it is ready."""
    labels: dict[str, str]
    """Further facts, for example the address of its pages."""


class StackFile(_Record):
    """The whole stack."""

    supervisor_pid: int
    """Process id of `countersign up`."""
    supervisor_started_at_s: float
    """When that process started. Seconds since 1970."""
    state: Literal["starting", "ready", "stopping"]
    """Where the stack is in its life."""
    settings: dict[str, JsonValue]
    """Settings for other commands: where the embedded servers listen."""
    ports: dict[str, int]
    """Ports on which our processes listen, by setting."""
    components: tuple[ComponentRecord, ...]
    """In the order of their start."""


def read(file: Path) -> StackFile | None:
    """What the file says; None when there is none. Raises StackError when it is damaged."""
    try:
        return StackFile.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StackError(f"{file} cannot be read: {error.strerror}. Be the user who started the stack.") from error
    except ValidationError as error:
        raise StackError(f"{file} is damaged. Remove it, and end what `ps` shows of the old stack.") from error


def write(file: Path, stack: StackFile) -> None:
    """Replace the file in one step: a reader sees the old one or the new one."""
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(stack.model_dump_json(indent=1))
    fresh.replace(file)


def remove(file: Path) -> None:
    """Forget the stack."""
    file.unlink(missing_ok=True)
