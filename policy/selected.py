"""Trusted records, and whether what the event states leads to a value in one of them, and to that value alone."""

from collections.abc import Sequence
from typing import NamedTuple

from policy.recorded import Origin, RecordedValue, Scalar
from policy.stated import StatedText

__all__ = ["Records"]

Key = tuple[type, Scalar]
_MAX_CELLS = 20_000
_MAX_PLACES = 50
"""Records that are looked at for one value; a value that stands in more names none of them."""
_MAX_CELLS_PER_RECORD = 60
_MAX_DEPTH = 3
"""From the event to a ticket, from the ticket to an order, from the order to a payment."""


class _Row(NamedTuple):
    """One object of an answer, with what the objects around it say."""

    source: str
    cells: tuple[tuple[str, Scalar], ...]
    """Column and value; a list is several cells of one column. An argument of the call is a column in brackets."""


class Records:
    """Objects that tools returned, by what stands in them."""

    def __init__(self, stated: StatedText) -> None:
        self._stated = stated
        self._event: dict[Key, str] = {}
        self._rows: list[_Row] = []
        self._cells = 0
        self._places: dict[Key, list[tuple[int, str]]] = {}
        self._columns: dict[tuple[str, str, Key], list[int]] = {}
        self._names: dict[tuple[str, str], dict[str, set[str]]] = {}

    def add_event(self, value: Scalar, path: str) -> None:
        """Add a field of the event that is trusted."""
        if not isinstance(value, bool):
            self._event.setdefault(_key(value), path)

    def add(self, values: Sequence[RecordedValue], asked_with: Sequence[tuple[str, str | int]]) -> None:
        """Add the trusted values of one answer.

        `asked_with` are the arguments of the call that the event or a trusted record holds.
        """
        own: dict[tuple[str, ...], list[RecordedValue]] = {}
        for value in values:
            if value.origin is Origin.TRUSTED and not isinstance(value.value, bool):
                own.setdefault(value.record, []).append(value)
        asked = [(f"({name})", value) for name, value in asked_with]
        cells_of = {record: [(value.column, value.value) for value in inner] for record, inner in own.items()}
        for record, inner in own.items():
            cells = cells_of[record]
            if len(record) > 1:
                cells = [
                    *cells,
                    *(cell for depth in range(1, len(record)) for cell in cells_of.get(record[:depth], ())),
                ]
            self._add_row(
                _Row(inner[0].source, (*cells[:_MAX_CELLS_PER_RECORD], *asked)), min(len(inner), _MAX_CELLS_PER_RECORD)
            )

    def leads_to(self, value: Scalar) -> str:
        """How the event leads to a value, in words; empty when it does not."""
        if isinstance(value, bool):
            return ""
        # The shortest way is the best evidence.
        return next(filter(None, (self._leads_to(value, depth, frozenset()) for depth in range(_MAX_DEPTH + 1))), "")

    def _add_row(self, row: _Row, own: int) -> None:
        if self._cells + len(row.cells) > _MAX_CELLS:
            return
        self._cells += len(row.cells)
        position, tool = len(self._rows), _tool(row)
        self._rows.append(row)
        for index, (column, value) in enumerate(row.cells):
            key = _key(value)
            places = self._columns.setdefault((tool, column, key), [])
            if not places or places[-1] != position:
                places.append(position)
            if index < own:
                self._places.setdefault(key, []).append((position, column))
                begun = self._stated.begins(value) if isinstance(value, str) else None
                if begun:
                    self._names.setdefault((tool, column), {}).setdefault(begun[0], set()).add(str(value))

    def _leads_to(self, value: str | int, depth: int, passed: frozenset[Key]) -> str:
        key = _key(value)
        path = self._event.get(key)
        if path is not None:
            return f"the event states it at {path}"
        place = self._stated.find(value)
        if place is not None:
            return f"the event states it at {place.path}, character {place.start}"
        places = self._places.get(key, ())
        if not depth or key in passed or len(places) > _MAX_PLACES:
            return ""
        for position, column in places:
            found = self._named(value, position, column) or self._beside(value, position, column, depth, passed | {key})
            if found:
                return found
        return ""

    def _named(self, value: str | int, position: int, column: str) -> str:
        """The one value of its column that begins with a name which the event states."""
        for head, found in self._names.get((_tool(self._rows[position]), column), {}).items():
            if found == {value}:
                return (
                    f"the only {column} of {self._rows[position].source} that begins with {head}, as the event states"
                )
        return ""

    def _beside(self, value: str | int, position: int, column: str, depth: int, passed: frozenset[Key]) -> str:
        """Another cell of the record to which the event leads, and beside which this column never says otherwise."""
        row = self._rows[position]
        for other, selector in row.cells:
            if other == column or isinstance(selector, bool) or _key(selector) in passed:
                continue
            rows = self._columns[_tool(row), other, _key(selector)]
            if len(rows) > _MAX_PLACES or not self._only(column, _key(value), rows):
                continue
            why = self._leads_to(selector, depth - 1, passed)
            if why:
                return f"{row.source} has it beside {other} {str(selector)[:80]!r}: {why}"
        return ""

    def _only(self, column: str, key: Key, rows: Sequence[int]) -> bool:
        return all(
            _key(value) == key for position in rows for name, value in self._rows[position].cells if name == column
        )


def _key(value: Scalar) -> Key:
    return type(value), value


def _tool(row: _Row) -> str:
    return row.source.rpartition("#")[0]
