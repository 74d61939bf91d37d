"""How a process writes its log: text for people or JSON lines for machines, and what each line is about.

That (run, tenant, HTTP request and so on) is looked up when a line is written, in the context that it is written in:
nothing passes it along, and what writes no line pays nothing. Names are ids of ours, never content or people.
"""

import json
import logging
import re
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from typing_extensions import override

from settings.model import Settings

__all__ = ["Names", "about", "begin", "note", "start_logging"]

Names = Mapping[str, str | int]
"""What a line is about: `run`, `tenant`, `step`, `key` of an effect, `approval`, `http`, and so on."""
_HERE: ContextVar[dict[str, str | int] | None] = ContextVar("what the lines of a log are about", default=None)
_PLAIN = re.compile(r"[\w./:@{}+-]+", re.ASCII)


@contextmanager
def about(**names: str | int) -> Generator[None]:
    """Lines that are written within the block are about these too."""
    before = _HERE.set({**(_HERE.get() or {}), **names})
    try:
        yield
    finally:
        _HERE.reset(before)


def begin(**names: str | int) -> None:
    """Lines of this task are about these from now on: for tasks that end with what they are about."""
    _HERE.set(dict(names))


def note(**names: str | int) -> None:
    """What the work under way turned out to be about: until the end of the innermost `about` or `begin`."""
    here = _HERE.get()
    if here is not None:
        here.update(names)


def start_logging(
    settings: Settings, process: str, names: Callable[[logging.LogRecord], Names] = lambda _record: {}
) -> None:
    """Write the log of this process to its standard error. `names`: what else a line is about, asked for each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_About(names))
    handler.setFormatter(_JsonLines(process) if settings.log_format == "json" else _Text())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    for client in ("httpx", "httpx2"):  # they tell whole addresses, and what stands in those
        logging.getLogger(client).setLevel(logging.WARNING)


class _About(logging.Filter):
    """Lets every record pass, with what it is about."""

    def __init__(self, names: Callable[[logging.LogRecord], Names]) -> None:
        super().__init__()
        self._names = names

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        record.about = {**self._names(record), **(_HERE.get() or {})}
        return True


class _Text(logging.Formatter):
    """A line, and behind it what it is about."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        facts = (f" {name}={_shown(value)}" for name, value in _about(record).items())
        return super().formatMessage(record) + "".join(facts)


class _JsonLines(logging.Formatter):
    """One JSON object a line, in ASCII: no text can end it or look like another."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, str | int] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
            **_about(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _about(record: logging.LogRecord) -> Names:
    return getattr(record, "about", {})


def _shown(value: str | int) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
