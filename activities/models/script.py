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
    finish: {result: done, summary: "Refunded {orders.get_status.order_id}."}
```

References are described in `conversation.py`. `raw`, `fault` and `latency_s` serve tests of all that a model can do
wrong.
"""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from activities.models.conditions import When
from contracts.base import JsonObject, Record
from contracts.model import StopReason, Usage

__all__ = ["Fault", "Finish", "RawCall", "RawReply", "Rule", "Say", "Script", "ScriptError", "load_script"]

MAX_BYTES = 1_000_000
MAX_RULES = 500


class ScriptError(Exception):
    """The fixture file cannot be used; the message names file and place."""


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
