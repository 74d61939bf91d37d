"""JSON from strangers: one meaning, bounded size, and nothing that canonical JSON or Postgres cannot hold."""

import json
import math
from collections.abc import Sequence
from typing import NoReturn, cast

from pydantic import JsonValue

__all__ = ["MAX_DEPTH", "MAX_INTEGER", "MAX_VALUES", "BadJsonError", "read_json"]

MAX_DEPTH = 32
MAX_VALUES = 10_000
MAX_INTEGER = 2**53 - 1
_MAX_DIGITS = 16
_MAX_KEY_CHARACTERS = 256


class BadJsonError(ValueError):
    """The body is not JSON that can be accepted; the message says why in one line."""


def read_json(body: bytes) -> JsonValue:
    """Parse a body.

    Raises:
        BadJsonError: not UTF-8, not JSON, two equal keys in an object, NaN or Infinity, a number that canonical JSON
            cannot hold, a NUL character, half a surrogate pair, more than `MAX_DEPTH` levels or `MAX_VALUES` values.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadJsonError(f"the body is not UTF-8: byte {error.start} is invalid") from error
    try:
        value = cast(
            "JsonValue",
            json.loads(
                text,
                object_pairs_hook=_object,
                parse_int=_integer,
                parse_float=_float,
                parse_constant=_constant,
            ),
        )
    except json.JSONDecodeError as error:
        raise BadJsonError(f"the body is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from error
    except RecursionError as error:
        # The parser's own guard; far beyond our bound, so the message can say the bound.
        raise BadJsonError(f"the body is nested deeper than {MAX_DEPTH} levels") from error
    _check(value)
    return value


def _object(pairs: Sequence[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) != len(pairs):
        # Two readers may keep different ones: what was verified must be what is used.
        raise BadJsonError("an object holds the same key twice")
    return found


def _integer(text: str) -> int:
    # Judged before it is converted: converting a long number takes quadratic time.
    if len(text.lstrip("-")) > _MAX_DIGITS or abs(int(text)) > MAX_INTEGER:
        raise BadJsonError(f"an integer is beyond {MAX_INTEGER}; send it as a string")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BadJsonError("a number is too large; send it as a string")
    return value


def _constant(name: str) -> NoReturn:
    raise BadJsonError(f"{name} is not JSON")


def _check(root: JsonValue) -> None:
    """Walk without recursion: the depth is what is to be found out."""
    level: list[JsonValue] = [root]
    depth = count = 0
    while level:
        depth += 1
        count += len(level)
        if depth > MAX_DEPTH + 1:
            raise BadJsonError(f"the body is nested deeper than {MAX_DEPTH} levels")
        if count > MAX_VALUES:
            raise BadJsonError(f"the body holds more than {MAX_VALUES} values")
        below: list[JsonValue] = []
        for value in level:
            if isinstance(value, str):
                _check_text(value)
            elif isinstance(value, list):
                below.extend(value)
            elif isinstance(value, dict):
                for key in value:
                    _check_text(key)
                    if len(key) > _MAX_KEY_CHARACTERS:
                        raise BadJsonError(f"a key is longer than {_MAX_KEY_CHARACTERS} characters")
                below.extend(value.values())
        level = below


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise BadJsonError("a string holds a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadJsonError("a string holds half a surrogate pair") from error
