"""`limits.yaml` as a process holds it: read anew when the file changes."""

import logging
import time
from pathlib import Path

from settings.errors import SettingsError
from settings.limits import LimitsSettings, load_limits

__all__ = ["WatchedLimits"]

_LOOK_EVERY_S = 1.0
_logger = logging.getLogger(__name__)


class WatchedLimits:
    """A change with a mistake changes nothing, and is logged."""

    def __init__(self, file: Path) -> None:
        """Raises SettingsError: the file has a mistake."""
        self._file = file
        self._stamp = self._stamped()
        self._held = load_limits(file)
        self._looked_s = time.monotonic()

    def current(self) -> LimitsSettings:
        """The limits as they are now: the same object until they change."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= _LOOK_EVERY_S:
            self._looked_s = now_s
            stamp = self._stamped()
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._held = load_limits(self._file)
                except SettingsError as error:
                    _logger.warning("the limits stay as they were: %s", error)
        return self._held

    def _stamped(self) -> tuple[int, int, int]:
        try:
            status = self._file.stat()
        except OSError:
            return (0, 0, 0)
        return (status.st_mtime_ns, status.st_size, status.st_ino)
