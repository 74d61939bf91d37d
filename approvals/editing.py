"""Editing a call's arguments: what a form offers for each, how what was typed is read, and what is wrong with it. Pure.

The schema is that of the tool's own argument model. The run validates once more with the model itself, which may refuse
more than a schema can say.
"""

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Literal, cast

import rfc8785
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from pydantic import JsonValue

from approvals.words import amount, minor_units
from contracts.base import JsonObject, Record
from contracts.canonical import canonical_bytes

__all__ = ["ArgumentInput", "inputs_of", "problems_of", "read_inputs"]

MAX_BYTES = 32 * 1024
_LONG_TEXT = 60
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_PATH = ""
"""The name under which a problem of the whole is reported."""

Kind = Literal["text", "long", "whole", "number", "money", "flag", "choice", "json"]


class ArgumentInput(Record):
    """One argument in a form."""

    name: str
    kind: Kind
    """`json`: lists and objects, written as JSON. `money`: minor units, written as an amount."""
    text: str
    """What stands in the field."""
    now: str
    """What is asked at present, to be read beside it."""
    unit: str = ""
    """Of money: its currency."""
    options: tuple[str, ...] = ()
    """Of a choice."""
    may_be_empty: bool
    """Whether an empty field means that the argument is not given."""
    help: str
    """What the tool's author says of it."""


def inputs_of(
    schema: JsonObject, arguments: JsonObject, posted: Mapping[str, str] | None = None
) -> list[ArgumentInput]:
    """The fields of the form, with what was posted before, if anything was."""
    return [_input(name, part, arguments, posted) for name, part in _properties(schema).items()]


def read_inputs(
    schema: JsonObject, arguments: JsonObject, posted: Mapping[str, str]
) -> tuple[JsonObject, dict[str, str]]:
    """The arguments that were typed, and by argument what cannot be read. A field left alone changes nothing."""
    typed: JsonObject = {}
    problems: dict[str, str] = {}
    for name, part in _properties(schema).items():
        now = _input(name, part, arguments, None)
        text = posted.get(name, "").replace("\r\n", "\n")
        if text == now.text.replace("\r\n", "\n"):
            if name in arguments:
                typed[name] = arguments[name]
            continue
        try:
            typed[name] = _typed(now, text)
        except ValueError as error:
            problems[name] = str(error)
    return typed, problems


def problems_of(schema: JsonObject, before: JsonObject, after: JsonObject) -> dict[str, str]:
    """What is wrong with edited arguments, by argument; empty when they may be asked."""
    missing = [name for name in before if name not in after]
    if missing:
        return dict.fromkeys(missing, "Leave it in; null means that it is not given.")
    try:
        size = len(canonical_bytes(after))
    except (rfc8785.CanonicalizationError, ValueError, RecursionError):
        return {_PATH: "Something cannot be written down exactly: a number is too large, or parts lie too deep."}
    if before == after:
        return {_PATH: "Nothing was changed. Approve it as it is, or change something."}
    if size > MAX_BYTES:
        return {_PATH: f"The arguments are too long: at most {MAX_BYTES // 1024} KB."}
    found: dict[str, str] = {}
    for error in _validator(json.dumps(schema)).iter_errors(after):  # pyright: ignore[reportUnknownMemberType] - typed so by its authors
        path = [str(part) for part in cast("list[object]", list(error.absolute_path))]
        found.setdefault(path[0] if path else _PATH, _in_words(error, path[1:]))
    return found


@lru_cache(maxsize=256)
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema))


def _properties(schema: JsonObject) -> dict[str, JsonObject]:
    found = schema.get("properties")
    return cast("dict[str, JsonObject]", found) if isinstance(found, dict) else {}


def _input(name: str, part: JsonObject, arguments: JsonObject, posted: Mapping[str, str] | None) -> ArgumentInput:
    value, currency = arguments.get(name), arguments.get("currency")
    of, optional = _without_null(part)
    unit = currency if isinstance(currency, str) and _CURRENCY.fullmatch(currency) else ""
    kind = _kind(of, value)
    if kind == "whole" and name.endswith("_minor") and unit:
        kind = "money"
    text = _text(kind, value, unit)
    return ArgumentInput(
        name=name,
        kind=kind,
        text=text if posted is None else posted.get(name, ""),
        now=amount(value, unit) if kind == "money" and isinstance(value, int) else text,
        unit=unit if kind == "money" else "",
        options=tuple(str(option) for option in cast("list[object]", of.get("enum") or ())),
        may_be_empty=optional,
        # What the author says of minor units would be read as a hint how to write the amount.
        help="" if kind == "money" else str(part.get("description") or of.get("description") or ""),
    )


def _without_null(part: JsonObject) -> tuple[JsonObject, bool]:
    """The schema of a value that is given, and whether it need not be."""
    options = part.get("anyOf")
    if not isinstance(options, list):
        return part, False
    given = [cast("JsonObject", option) for option in options if cast("JsonObject", option).get("type") != "null"]
    return (given[0] if len(given) == 1 else {}), len(given) < len(options)


def _kind(part: JsonObject, value: JsonValue) -> Kind:
    if isinstance(part.get("enum"), list) and all(isinstance(one, str) for one in cast("list[object]", part["enum"])):
        return "choice"
    match part.get("type"):
        case "string":
            is_long = not isinstance(value, str) or len(value) > _LONG_TEXT or "\n" in value
            longest = part.get("maxLength")
            return "long" if is_long or (isinstance(longest, int) and longest > _LONG_TEXT * 2) else "text"
        case "integer":
            return "whole"
        case "number":
            return "number"
        case "boolean":
            return "flag"
        case _:
            return "json"


def _text(kind: Kind, value: JsonValue, unit: str) -> str:
    if value is None:
        return ""
    if kind == "money" and isinstance(value, int):
        digits = minor_units(unit)
        return str(Decimal(value).scaleb(-digits)) if digits else str(value)
    if kind == "flag":
        return "yes" if value else "no"
    return value if isinstance(value, str) and kind != "json" else json.dumps(value, ensure_ascii=False, indent=2)


def _typed(field: ArgumentInput, text: str) -> JsonValue:
    """What a text means in a field.

    Raises:
        ValueError: nothing; the message says how to write it.
    """
    if not text.strip() and field.may_be_empty:
        return None
    match field.kind:
        case "text" | "long" | "choice":
            return text
        case "flag":
            return text == "yes"
        case "whole":
            if not _WHOLE.fullmatch(text.strip()):
                raise ValueError("Write a whole number, such as 12.")
            return int(text)
        case "number":
            return _number(text)
        case "money":
            return _minor(text, field.unit)
        case "json":
            return _json(text)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("Write a number, such as 12.5.")
    return number


def _minor(text: str, unit: str) -> int:
    digits = minor_units(unit)
    example = amount(123_450 if digits else 1_234, unit).replace(",", "").removeprefix(f"{unit} ")
    try:
        minor = Decimal(text.strip().removeprefix(unit).strip()).scaleb(digits)
    except InvalidOperation:
        raise ValueError(f"Write the amount in {unit}, such as {example}.") from None
    if not minor.is_finite() or minor != minor.to_integral_value() or len(str(int(minor))) > 18:  # noqa: PLR2004 - digits of 64 bits
        raise ValueError(f"Write the amount in {unit} with at most {digits} decimals, such as {example}.")
    return int(minor)


def _json(text: str) -> JsonValue:
    try:
        return cast("JsonValue", json.loads(text))
    except (ValueError, RecursionError):
        raise ValueError("Write it as JSON: texts in quotation marks, no comma after the last one.") from None


def _in_words(error: ValidationError, path: list[str]) -> str:
    keyword, limit = cast("tuple[str, object]", (error.validator, error.validator_value))
    words = {
        "type": f"Must be {_TYPES.get(str(limit), 'of another type')}.",
        "enum": f"Must be one of: {_listed(limit)}.",
        "const": f"Must be {json.dumps(limit)}.",
        "minimum": f"Must be at least {limit}.",
        "maximum": f"Must be at most {limit}.",
        "exclusiveMinimum": f"Must be more than {limit}.",
        "exclusiveMaximum": f"Must be less than {limit}.",
        "multipleOf": f"Must be a multiple of {limit}.",
        "minLength": f"Must have at least {limit} characters.",
        "maxLength": f"Must have at most {limit} characters.",
        "minItems": f"Must have at least {limit} entries.",
        "maxItems": f"Must have at most {limit} entries.",
        "pattern": f"Must have the form {limit}.",
        "required": "A part is missing.",
        "additionalProperties": "Has a part that the tool does not know.",
    }.get(keyword, "Is not what the tool takes.")
    return f"{'.'.join(path)}: {words}" if path else words


_TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "yes or no",
    "array": "a list",
    "object": "an object",
    "null": "empty",
}


def _listed(values: object) -> str:
    return ", ".join(str(value) for value in cast("list[object]", values)) if isinstance(values, list) else str(values)
