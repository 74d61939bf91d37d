"""Tool names on the wire: providers allow 64 letters, digits, `_` and `-`; ours have dots. One to one per request."""

import hashlib
import re
from collections.abc import Iterable

__all__ = ["WireNames"]

MAX_LENGTH = 64
_ALLOWED = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


class WireNames:
    """The mapping of one request. Names that the model made up go out and come back too: it shall see its mistake."""

    def __init__(self, names: Iterable[str]) -> None:
        self._out: dict[str, str] = {}
        self._back: dict[str, str] = {}
        for name in names:
            self.out(name)

    def out(self, name: str) -> str:
        """Our name as the provider takes it."""
        if name in self._out:
            return self._out[name]
        # Our own names hold no `-`, so a dot becomes one and no two of them meet.
        wire = name.replace(".", "-")
        if "-" in name or not _ALLOWED.fullmatch(wire) or wire in self._back:
            digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:20]
            wire = f"{_FOREIGN.sub('_', wire)[: MAX_LENGTH - 22]}--{digest}"
        self._out[name] = wire
        self._back[wire] = name
        return wire

    def back(self, wire: str) -> str:
        """The provider's name as ours; one that was never sent out comes back as the model wrote it, dots restored."""
        return self._back.get(wire, wire.replace("-", "."))
