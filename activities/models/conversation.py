"""What a conversation says so far, looked up by reference: what the scripted provider's conditions and templates see.

A reference is a dotted path. Its first part chooses the source:
`event.order_id` (the event's data), `crm.read_ticket.text` (a field of the latest successful result of that tool),
`last.role`, `last.tool`, `last.text`, `last.error` (the last message), `user.text` (the last user message),
or the bare name of a group captured by a regular expression of the same rule. `items.0.sku` indexes a list.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, cast

from contracts.base import JsonObject
from contracts.model import AssistantMessage, Message, ToolMessage, UserMessage

__all__ = ["ABSENT", "Absent", "Conversation", "UnknownReferenceError"]

MAX_OBJECT_STARTS = 200
_DENIED = re.compile(r"\bden(?:ied|ial)\b", re.IGNORECASE)
_TEMPLATE = re.compile(r"\{\{|\}\}|\{([A-Za-z_][\w.]*)\}")


class Absent:
    """The value of a reference to something that the conversation does not hold."""

    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = Absent()


class UnknownReferenceError(LookupError):
    """A template names something that the conversation does not hold."""


@dataclass(frozen=True)
class Conversation:
    """A transcript, read once for all rules."""

    messages: Sequence[Message]
    event: JsonObject
    """Data of the event, found as the first JSON object with the key `event` in the first user message."""
    results: Mapping[str, str]
    """Text of the latest successful answer, by tool: parsed when it is looked up, for few of many are."""
    answers: Mapping[str, ToolMessage]
    """The latest answer, by tool."""
    proposed: frozenset[str]
    """Every tool that the model has proposed so far."""
    captured: Mapping[str, str] = field(default_factory=dict[str, str])
    """Groups captured by regular expressions."""

    @classmethod
    def of(cls, messages: Sequence[Message]) -> "Conversation":
        """Read a transcript."""
        results: dict[str, str] = {}
        answers: dict[str, ToolMessage] = {}
        proposed: set[str] = set()
        for message in messages:
            if isinstance(message, AssistantMessage):
                proposed.update(call.tool for call in message.calls)
            elif isinstance(message, ToolMessage):
                answers[message.tool] = message
                if not message.is_error:
                    results[message.tool] = message.text
        first = next((message.text for message in messages if isinstance(message, UserMessage)), "")
        return cls(messages, event_of(first), results, answers, frozenset(proposed))

    def succeeded(self, tool: str) -> bool:
        """Whether the latest answer of a tool was a result."""
        return tool in self.answers and not self.answers[tool].is_error

    def failed(self, tool: str) -> bool:
        """Whether the latest answer of a tool was an error of any kind, a denial included."""
        return tool in self.answers and self.answers[tool].is_error

    def denied(self, tool: str) -> bool:
        """Whether the latest answer of a tool was a denial."""
        return self.failed(tool) and bool(_DENIED.search(self.answers[tool].text))

    def last(self) -> JsonObject:
        """The last message, as rules see it."""
        message = self.messages[-1] if self.messages else None
        if message is None:
            return {"role": "", "tool": "", "text": "", "error": False}
        if isinstance(message, ToolMessage):
            return {"role": message.role, "tool": message.tool, "text": message.shown, "error": message.is_error}
        return {"role": message.role, "tool": "", "text": message.text, "error": False}

    def lookup(self, reference: str) -> object:
        """The value of a reference, or `ABSENT`."""
        if reference in self.captured:
            return self.captured[reference]
        head, *rest = reference.split(".")
        if head == "event":
            return _walk(self.event, rest)
        if head == "last":
            return _walk(self.last(), rest)
        if head == "user":
            texts = [message.text for message in self.messages if isinstance(message, UserMessage)]
            return _walk({"text": texts[-1]} if texts else {}, rest)
        tool = ".".join([head, *rest[:1]])
        return _walk(_parsed(self.results[tool]), rest[1:]) if tool in self.results else ABSENT

    def fill(self, template: object) -> object:
        """Replace `{reference}` in every string of a value; a string that is one reference keeps the value's type.

        `{integer: text}` makes a whole number of a text: groups of regular expressions are texts.

        Raises:
            UnknownReferenceError: the conversation does not hold what a reference names.
        """
        if isinstance(template, str):
            return self._fill_text(template)
        if isinstance(template, Mapping):
            filled = self.fill_object(cast("Mapping[str, object]", template))
            digits = filled.get("integer") if len(filled) == 1 else None
            return int(digits) if isinstance(digits, str) and digits.isdecimal() else filled
        if isinstance(template, list | tuple):
            return [self.fill(value) for value in cast("Sequence[object]", template)]
        return template

    def fill_object(self, template: Mapping[str, object]) -> dict[str, object]:
        """`fill` of every value of an object."""
        return {key: self.fill(value) for key, value in template.items()}

    def _fill_text(self, template: str) -> object:
        whole = _TEMPLATE.fullmatch(template)
        if whole and whole[1]:
            return self._required(whole[1])

        def replace(match: re.Match[str]) -> str:
            if not match[1]:
                return match[0][0]
            value = self._required(match[1])
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

        return _TEMPLATE.sub(replace, template)

    def _required(self, reference: str) -> object:
        value = self.lookup(reference)
        if isinstance(value, Absent):
            raise UnknownReferenceError(reference)
        return value


def event_of(text: str) -> JsonObject:
    """The event's data in a user message: `event` of the first JSON object that has it, else the first object itself.

    Text around it, other braces and malformed JSON are skipped; an empty object when there is none.
    """
    decoder = json.JSONDecoder()
    first: JsonObject | None = None
    position = -1
    for _ in range(MAX_OBJECT_STARTS):
        position = text.find("{", position + 1)
        if position < 0:
            break
        try:
            found, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            continue
        position = end - 1
        found = cast("JsonObject", found)
        event = found.get("event")
        if isinstance(event, dict):
            return event
        first = found if first is None else first
    return first or {}


@lru_cache(maxsize=64)
def _parsed(text: str) -> object:
    """JSON, or the text itself where it is none. Whoever asks only reads."""
    try:
        return cast("object", json.loads(text))
    except (ValueError, RecursionError):
        return text


def _walk(value: object, path: Sequence[str]) -> object:
    for part in path:
        if isinstance(value, Mapping):
            mapping = cast("Mapping[str, object]", value)
            if part not in mapping:
                return ABSENT
            value = mapping[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(cast("list[object]", value)):
            value = cast("list[object]", value)[int(part)]
        else:
            return ABSENT
    return value
