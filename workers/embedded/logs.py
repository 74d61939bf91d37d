"""Log files of the components: one each, with a cap."""

import json
from pathlib import Path
from typing import BinaryIO

__all__ = ["LOG_MAX_BYTES", "last_line", "log_file", "open_log"]

LOG_MAX_BYTES = 10_000_000
"""A larger log is put aside, as `.1`, when its component starts; one old log is kept."""
_TAIL_BYTES = 8_192
_LINE_MAX_CHARACTERS = 300


def log_file(folder: Path, name: str) -> Path:
    """The log of a component."""
    return folder / f"{name}.log"


def open_log(file: Path) -> BinaryIO:
    """Open a log to append to, after putting aside one that has grown too large."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if file.exists() and file.stat().st_size > LOG_MAX_BYTES:
        file.replace(file.with_name(file.name + ".1"))
    stream = file.open("ab", buffering=0)
    file.chmod(0o600)
    return stream


def last_line(file: Path) -> str:
    """The last line that says something; empty when there is none."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - _TAIL_BYTES))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return _message(said[-1])[:_LINE_MAX_CHARACTERS] if said else ""


def _message(line: str) -> str:
    """What a line says, where it is a JSON object as `COUNTERSIGN_LOG_FORMAT=json` has them."""
    try:
        return str(json.loads(line)["message"])
    except (ValueError, TypeError, KeyError):
        return line
