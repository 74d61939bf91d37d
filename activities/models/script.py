r"""The fixture file of the scripted provider: rules over the content of the conversation; the first match answers.

```yaml
about: what this agent does
rules:
  - name: pay what is owed
    when:
      succeeded: [orders.get_status]            # also: called, not_called, failed, denied; a name or a list
      where:                                    # reference: value, or tests that must all hold
        event.kind: refund_request
        orders.get_status.status: {in: [paid, shipped]}
        orders.get_status.refundable_minor: {gt: 0, lte: 5000}
        crm.read_ticket.text: {regex: "order (?P<order_id>ORD-\d+)"}     # groups are references too
        last.role: tool
    say:
      text: The order is paid.
      calls:
        - tool: payments.issue_refund
          why: The item came broken.
          arguments: {order_id: "{order_id}", amount_minor: "{orders.get_status.refundable_minor}"}
  - name: done
    finish: {result: done, summary: "Refunded {order_id}."}
```

References are described in `conversation.py`. `raw`, `fault` and `latency_s` serve tests of all that a model can do
wrong.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self, cast

import yaml
from pydantic import BeforeValidator, Field, JsonValue, ValidationError, field_validator, model_validator

from activities.models.conversation import ABSENT, Conversation
from contracts.base import JsonObject, Record
from contracts.model import StopReason, Usage

__all__ = ["Fault", "Finish", "RawCall", "RawReply", "Rule", "Say", "Script", "ScriptError", "load_script"]

MAX_BYTES = 1_000_000
MAX_RULES = 500


class ScriptError(Exception):
    """The fixture file cannot be used; the message names file and place."""


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


class When(Record):
    """Conditions over the conversation; all that are given must hold, none at all always holds."""

    where: dict[str, Annotated[Condition, BeforeValidator(_condition)]] = Field(default_factory=dict)
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


class Call(Record):
    """A tool call to propose."""

    tool: str
    why: str = Field(min_length=1, max_length=500)
    """The reason that a model gives with every call."""
    arguments: JsonObject = Field(default_factory=dict)
    """Arguments; strings may hold `{reference}`."""


class Say(Record):
    """An ordinary answer."""

    text: str = ""
    calls: tuple[Call, ...] = Field(default=(), max_length=64)


class Finish(Record):
    """The end of the work."""

    result: Literal["done", "hand_over"]
    summary: str
    needed: str = ""
    """What a person must do; empty when done."""
    text: str = ""


class RawCall(Record):
    """A call exactly as written here, valid or not."""

    tool: str
    arguments_json: str = "{}"


class RawReply(Record):
    """An answer exactly as written here: for tests of malformed output. No templates."""

    text: str = ""
    calls: tuple[RawCall, ...] = ()
    stop: StopReason = StopReason.TOOL_CALLS
    stop_detail: str = ""
    repeat: int = Field(default=1, ge=1, le=1_000_000)
    """How often text and calls are repeated, to make an enormous answer."""


class Fault(Record):
    """A failure instead of an answer."""

    kind: Literal["unavailable", "rejected"]
    retry_after_s: float | None = Field(default=None, ge=0)
    possibly_charged: bool = True


def _fault(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


class Rule(Record):
    """One rule: conditions, and exactly one of `say`, `finish`, `raw`, `fault`."""

    name: str = Field(min_length=1, max_length=120)
    """What it stands for; shown when something is wrong with it."""
    when: When = When()
    say: Say | None = None
    finish: Finish | None = None
    raw: RawReply | None = None
    fault: Annotated[Fault | None, BeforeValidator(_fault)] = None
    latency_s: float = Field(default=0, ge=0, le=900)
    """Waits so long before it answers, in seconds."""
    usage: Usage | None = None
    """Usage to report in place of the estimate."""

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        if sum(part is not None for part in (self.say, self.finish, self.raw, self.fault)) != 1:
            raise ValueError("needs exactly one of say, finish, raw, fault")
        return self


class Script(Record):
    """A fixture file."""

    about: str = ""
    """What the scripted agent does, for readers."""
    rules: tuple[Rule, ...] = Field(min_length=1, max_length=MAX_RULES)


def load_script(path: Path) -> Script:
    """Read a fixture file; it is read again when it has changed.

    Raises:
        ScriptError: missing, too large, not YAML, or not of this form.
    """
    try:
        state = path.stat()
        return _load(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise ScriptError(f"{path}: {error.strerror}. Write the fixture, or use a real model.") from None


@lru_cache(maxsize=64)
def _load(path: Path, _mtime_ns: int, size: int) -> Script:
    if size > MAX_BYTES:
        raise ScriptError(f"{path}: larger than {MAX_BYTES} bytes. Split the agent's fixture.")
    try:
        return Script.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ScriptError(f"{path}: line {line}: not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ScriptError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except UnicodeDecodeError:
        raise ScriptError(f"{path}: not UTF-8 text.") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ScriptError(f"{path}: {place}: {first['msg']}") from None
