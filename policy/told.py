"""Untrusted content, searchable through Unicode form, case and spacing. Grows by one answer at a time."""

import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from policy.recorded import RecordedValue, Scalar

__all__ = ["Told", "UntrustedText", "normal_form"]

_MIN_CHARACTERS = 4
"""Shorter values are not searched inside texts: they match by chance."""
_MAX_VALUES = 20_000
_APART = "\0"
"""Between texts that are searched at once, so that nothing is found across two."""


class Told(NamedTuple):
    """Where untrusted content holds a value."""

    value: RecordedValue
    how: str
    """`exact`, `normalised` or `inside` a longer text."""


class UntrustedText:
    """Texts and numbers that an outsider may have written."""

    def __init__(self) -> None:
        self._exact: dict[tuple[type, Scalar], RecordedValue] = {}
        self._normal: dict[str, RecordedValue] = {}
        self._answers: list[tuple[str, list[int], list[RecordedValue]]] = []
        self._count = 0

    def add(self, values: Sequence[RecordedValue]) -> None:
        """Add those of one answer."""
        texts: list[str] = []
        starts: list[int] = []
        kept: list[RecordedValue] = []
        start = 0
        for value in values[: _MAX_VALUES - self._count]:
            self._exact.setdefault((type(value.value), value.value), value)
            if isinstance(value.value, bool):
                continue
            text = _searchable(value.value)
            self._normal.setdefault(text, value)
            texts.append(text)
            starts.append(start)
            kept.append(value)
            start += len(text) + 1
        self._count += len(kept)
        if kept:
            self._answers.append((_APART.join(texts), starts, kept))
            self._merge()

    def _merge(self) -> None:
        """Keep few texts, each more than twice as long as the next: searching many is what costs."""
        while len(self._answers) > 1 and len(self._answers[-2][0]) <= 2 * len(self._answers[-1][0]):
            last, last_starts, last_values = self._answers.pop()
            text, starts, values = self._answers.pop()
            shift = len(text) + 1
            shifted = [*starts, *(start + shift for start in last_starts)]
            self._answers.append((text + _APART + last, shifted, values + last_values))

    def find(self, part: Scalar) -> Told | None:
        """The first untrusted value that is, or holds, this one."""
        same = self._exact.get((type(part), part))
        if same is not None:
            return Told(same, "exact")
        if isinstance(part, bool):
            return None
        mine = _searchable(part)
        alike = self._normal.get(mine)
        if alike is not None:
            return Told(alike, "normalised")
        if len(mine) < _MIN_CHARACTERS:
            return None
        for text, starts, values in self._answers:
            at = text.find(mine)
            if at >= 0:
                return Told(values[bisect_right(starts, at) - 1], "inside")
        return None


def _searchable(value: str | int) -> str:
    return normal_form(str(value)).replace(_APART, " ")


def normal_form(text: str) -> str:
    """Compatibility form, no case, no spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(folded.split())
