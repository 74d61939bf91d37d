"""How many sign-ins may be tried: a sliding window per key, bounded in memory. The accounts' lock is the shared one."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable

__all__ = ["Throttle"]


class Throttle:
    """At most `limit` tries per key within `window_s`."""

    def __init__(
        self, *, limit: int, window_s: float, max_keys: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._window_s = window_s
        self._max_keys = max_keys
        self._clock = clock
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()

    def allows(self, key: str) -> bool:
        """Count a try, and say whether it may go on."""
        now = self._clock()
        tries = self._tries.setdefault(key, deque(maxlen=self._limit))
        self._tries.move_to_end(key)
        if len(self._tries) > self._max_keys:
            self._tries.popitem(last=False)
        if len(tries) == self._limit and now - tries[0] < self._window_s:
            return False
        tries.append(now)
        return True
