"""Calls whose surroundings were read when the model's answer was settled, for the visit that follows at once."""

import time
from collections import OrderedDict

from store.journal import CallKey, LoadedCall

__all__ = ["Foreseen"]

_MAX_CALLS = 1_000
_MAX_AGE_S = 2.0


class Foreseen:
    """Each is used once, and soon or not at all.

    What has changed meanwhile is found by the statement that admits the call, which is decided again then; so is a call
    whose answer was settled by another worker, or that was not visited in time.
    """

    def __init__(self) -> None:
        self._calls: OrderedDict[CallKey, tuple[LoadedCall, int, float]] = OrderedDict()

    def put(self, key: CallKey, loaded: LoadedCall, values_after: int) -> None:
        """Keep a call. `values_after`: which recorded values it was loaded with."""
        self._calls[key] = (loaded, values_after, time.monotonic())
        if len(self._calls) > _MAX_CALLS:
            self._calls.popitem(last=False)

    def take(self, key: CallKey, values_after: int) -> LoadedCall | None:
        """The call, if it is fresh and holds the recorded values after that one."""
        loaded, after, at = self._calls.pop(key, (None, 0, 0.0))
        fresh = time.monotonic() - at <= _MAX_AGE_S
        return loaded if fresh and after == values_after else None
