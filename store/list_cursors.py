"""Cursors of lists: where a page ended, as text that a page's address can carry. They give no right to anything."""

import base64
import json
import re
from datetime import UTC, datetime
from typing import Literal, NamedTuple, cast

from psycopg.rows import DictRow

from contracts.base import Record

__all__ = ["DAMAGED", "Cursor", "KeyKind", "Page", "page_of", "read_cursor", "write_cursor"]

KeyKind = Literal["time", "number"]
DAMAGED = "this page's address is damaged: start again from the first page"
_MAX_NUMBER = 2**63 - 1
_ROW_ID = re.compile(r"[a-z]{3}-[a-z2-7]{26}", re.ASCII)


class Cursor(Record):
    """The last or first row of a page: what the list is ordered by, then its id."""

    key: datetime | int
    row_id: str


class Page(NamedTuple):
    """The rows of a page in the list's order, with the cursors of its neighbours; empty where there is none."""

    rows: list[DictRow]
    next: str
    previous: str


def page_of(found: list[DictRow], order: str, columns: tuple[str, str], *, limit: int, after: str, before: str) -> Page:
    """The page among `limit + 1` rows that were read beyond a cursor; backwards where `before` is given.

    `columns` hold the key and the id.
    """
    more = len(found) > limit
    rows = found[:limit][::-1] if before else found[:limit]
    if not rows:
        return Page(rows, "", "")
    first, last = (write_cursor(order, row[columns[0]], row[columns[1]]) for row in (rows[0], rows[-1]))
    return Page(rows, last if more or before else "", first if (more if before else after) else "")


def write_cursor(order: str, key: datetime | int, row_id: str) -> str:
    """As text. `order` names the list's order: a cursor of another one is refused."""
    value = key.astimezone(UTC).isoformat() if isinstance(key, datetime) else key
    return base64.urlsafe_b64encode(json.dumps([order, value, row_id]).encode()).decode().rstrip("=")


def read_cursor(text: str, order: str, kind: KeyKind) -> Cursor:
    """The row that the text names.

    Raises:
        ValueError: it is not a cursor of a list in this order.
    """
    try:
        found, value, row_id = cast("list[object]", json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))
        key = datetime.fromisoformat(str(value)).astimezone(UTC) if kind == "time" else int(str(value))
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise ValueError(DAMAGED) from None
    is_sound = found == order and isinstance(row_id, str) and _ROW_ID.fullmatch(row_id)
    if not is_sound or (isinstance(key, int) and abs(key) > _MAX_NUMBER):
        raise ValueError(DAMAGED)
    return Cursor(key=key, row_id=str(row_id))
