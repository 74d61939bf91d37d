"""Conditions of a script's rules over the conversation, with the groups that their regular expressions capture."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, cast

from pydantic import BeforeValidator, Field, JsonValue, field_validator

from activities.models.conversation import ABSENT, Conversation
from contracts.base import Record

__all__ = ["Condition", "Test", "When"]


def _names(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
Scalar = str | int | float | bool | None


class Condition(Record):
    """What a referenced value must satisfy; all that are given must hold."""

    equals: JsonValue = None
    """The very value."""
    not_equals: JsonValue = Field(default=None, alias="not")
    """Any value but this, also none at all."""
    one_of: tuple[Scalar, ...] | None = Field(default=None, alias="in")
    """One of these values."""
    lt: float | None = None
    lte: float | None = None
    gt: float | None = None
    gte: float | None = None
    contains: str | None = None
    """Text within the text, whatever the case."""
    regex: str | None = None
    """Found somewhere in the text; its named groups become references."""
    absent: bool | None = None
    """True: the value must not exist; false: it must."""

    @field_validator("regex")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            msg = f"not a regular expression: {error}"
            raise ValueError(msg) from None
        return value

    def holds(self, value: object, captured: dict[str, str]) -> bool:
        """Whether a value passes; groups of a regular expression that matched are added to `captured`."""
        given = self.model_fields_set
        if self.absent is not None and self.absent != (value is ABSENT):
            return False
        if "not_equals" in given and value is not ABSENT and _same(value, self.not_equals):
            return False
        if "equals" in given and not _same(value, self.equals):
            return False
        if self.one_of is not None and not any(_same(value, choice) for choice in self.one_of):
            return False
        return self._compares(value) and self._reads(value, captured)

    def _compares(self, value: object) -> bool:
        bounds: tuple[tuple[float | None, Callable[[float, float], bool]], ...] = (
            (self.lt, lambda number, bound: number < bound),
            (self.lte, lambda number, bound: number <= bound),
            (self.gt, lambda number, bound: number > bound),
            (self.gte, lambda number, bound: number >= bound),
        )
        wanted = [(bound, passes) for bound, passes in bounds if bound is not None]
        if not wanted:
            return True
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return all(passes(value, bound) for bound, passes in wanted)

    def _reads(self, value: object, captured: dict[str, str]) -> bool:
        if self.contains is None and self.regex is None:
            return True
        if not isinstance(value, str):
            return False
        if self.contains is not None and self.contains.casefold() not in value.casefold():
            return False
        if self.regex is None:
            return True
        match = re.search(self.regex, value)
        if match:
            captured.update({name: text for name, text in match.groupdict().items() if text is not None})
        return match is not None


def _same(value: object, other: object) -> bool:
    # In Python, True == 1; in JSON they differ.
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _condition(value: object) -> object:
    known = {field.alias or name for name, field in Condition.model_fields.items()}
    tests = cast("Mapping[str, object]", value) if isinstance(value, Mapping) else None
    return tests if tests and known.issuperset(tests) else {"equals": cast("object", value)}


Test = Annotated[Condition, BeforeValidator(_condition, json_schema_input_type=Condition | JsonValue)]
"""A condition, or short for one: a plain value that must be equal."""


class When(Record):
    """Conditions over the conversation; all that are given must hold, none at all always holds."""

    where: dict[str, Test] = Field(default_factory=dict)
    """Tests by reference."""
    called: Names = ()
    """Tools that the model has proposed already."""
    not_called: Names = ()
    """Tools that the model has not proposed yet."""
    succeeded: Names = ()
    """Tools whose latest answer was a result."""
    failed: Names = ()
    """Tools whose latest answer was an error of any kind."""
    denied: Names = ()
    """Tools whose latest answer was a denial."""

    def match(self, conversation: Conversation) -> dict[str, str] | None:
        """The captured groups, or None where a condition does not hold."""
        tools = (
            all(tool in conversation.proposed for tool in self.called)
            and not any(tool in conversation.proposed for tool in self.not_called)
            and all(map(conversation.succeeded, self.succeeded))
            and all(map(conversation.failed, self.failed))
            and all(map(conversation.denied, self.denied))
        )
        captured: dict[str, str] = {}
        if not tools:
            return None
        holds = all(test.holds(conversation.lookup(reference), captured) for reference, test in self.where.items())
        return captured if holds else None
