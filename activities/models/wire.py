"""What the three wire protocols share: reading untrusted JSON without trust, and the transcript made complete."""

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import cast

from activities.models.names import WireNames
from activities.models.tokens import estimate_tokens, tokens_in
from contracts.base import JsonObject
from contracts.model import (
    AssistantMessage,
    Message,
    ModelReply,
    ModelRequest,
    ProposedCall,
    Provider,
    StopReason,
    SystemMessage,
    ToolMessage,
    Usage,
    UserMessage,
)

__all__ = [
    "EMPTY",
    "Draft",
    "Wire",
    "arguments_object",
    "completed",
    "count",
    "items_of",
    "object_of",
    "opaque_items",
    "opaque_of",
    "reply_of",
    "storable",
    "system_text",
    "text_of",
    "wire_names",
]

Wire = dict[str, object]
"""A JSON object as some protocol has it."""
EMPTY = "(empty)"
"""Providers refuse empty text."""
NOT_RUN = "This call was not run."
MAX_COUNT = 10**9
MAX_INTEGER = 2**53 - 1
MAX_OPAQUE_CHARACTERS = 256 * 1024
MAX_NAME = 200
"""Of ids and names, by the contract."""


def object_of(value: object) -> Mapping[str, object]:
    """A JSON object, or an empty one in place of anything else."""
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def items_of(value: object) -> Sequence[object]:
    """A JSON array, or an empty one in place of anything else."""
    return cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()


def text_of(value: object) -> str:
    """A string that can be stored as UTF-8, or an empty one in place of anything else."""
    # JSON may escape lone surrogates, which no encoder and no database takes.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def storable(value: object) -> object:
    """JSON that canonical JSON and every database take: what they cannot hold becomes null, lone surrogates a mark.

    A provider's own items go back as they came; only what no honest provider sends is changed here.
    """
    if isinstance(value, str):
        return text_of(value)
    if isinstance(value, Mapping):
        return {text_of(key): storable(part) for key, part in object_of(cast("object", value)).items()}
    if isinstance(value, list | tuple):
        return [storable(part) for part in items_of(cast("object", value))]
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, bool) or value is None:
        return value
    return value if isinstance(value, int) and abs(value) <= MAX_INTEGER else None


def count(value: object) -> int:
    """A number of tokens, or 0 in place of anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return min(max(value, 0), MAX_COUNT)


def wire_names(request: ModelRequest) -> WireNames:
    """The names of a request: those offered first, so that they get the plain form."""
    spoken = [message for message in request.messages if isinstance(message, AssistantMessage)]
    return WireNames([tool.name for tool in request.tools] + [call.tool for said in spoken for call in said.calls])


def system_text(messages: Sequence[Message]) -> str:
    """The prompt."""
    return "\n\n".join(message.text for message in messages if isinstance(message, SystemMessage))


def completed(messages: Sequence[Message]) -> list[Message]:
    """The transcript without prompt and empty answers, in which every proposed call is answered after its proposal.

    Providers refuse a transcript in which a call has no answer; the engine leaves one out where it ended or corrected a
    step before the call's turn.
    """
    complete: list[Message] = []
    open_calls: dict[str, ProposedCall] = {}

    def close() -> None:
        complete.extend(
            ToolMessage(call_id=call.call_id, tool=call.tool, text=NOT_RUN, is_error=True)
            for call in open_calls.values()
        )
        open_calls.clear()

    for message in messages:
        match message:
            case SystemMessage():
                pass
            case ToolMessage():
                # An answer to no open call would be refused as well; as plain text it stays readable.
                known = open_calls.pop(message.call_id, None)
                complete.append(message if known else UserMessage(text=f"{message.tool}: {message.shown}"))
            case UserMessage():
                close()
                complete.append(message)
            case AssistantMessage():
                close()
                if message.text or message.calls:
                    complete.append(message)
                    open_calls = {call.call_id: call for call in message.calls}
    close()
    return complete


def opaque_of(provider: Provider, model: str, items: list[Wire]) -> tuple[JsonObject, ...]:
    """Items to hand back, marked with whose they are: another model could not read them."""
    if len(json.dumps(items)) > MAX_OPAQUE_CHARACTERS:
        # Left out, it costs the model a memory; kept, it would weigh on every later step of the run.
        return ()
    bundle: Wire = {"provider": provider.value, "model": model, "items": storable(items)}
    return (cast("JsonObject", bundle),) if items else ()


def opaque_items(message: AssistantMessage, provider: Provider, model: str) -> Sequence[object]:
    """The items of an earlier answer of the same provider and model; none of any other's."""
    for bundle in message.opaque:
        if bundle.get("provider") == provider.value and bundle.get("model") == model:
            return items_of(bundle.get("items"))
    return ()


class Draft:
    """A reply in the making, from untrusted parts."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.calls: list[tuple[str, str, str]] = []
        """Call id, name on the wire, arguments."""
        self.stop = StopReason.OTHER
        self.stop_detail = ""
        self.usage: Usage | None = None
        self.served_model = ""
        self.request_id = ""
        self.opaque: list[Wire] = []


def reply_of(draft: Draft, request: ModelRequest, names: WireNames) -> ModelReply:
    """The reply of a draft: lengths cut to the contract's, call ids made unique, missing usage estimated."""
    taken: set[str] = set()
    calls: list[ProposedCall] = []
    for position, (call_id, name, arguments) in enumerate(draft.calls):
        own = call_id if 0 < len(call_id) <= MAX_NAME else f"call_{len(request.messages)}_{position}"
        while own in taken:
            own += "x"
        taken.add(own)
        calls.append(ProposedCall(call_id=own, tool=names.back(name)[:MAX_NAME], arguments_json=arguments))
    text = "".join(draft.texts)
    usage = draft.usage
    if usage is None or not usage.total_tokens:
        said = tokens_in(text) + sum(tokens_in(call.tool) + tokens_in(call.arguments_json) for call in calls)
        usage = Usage(input_tokens=estimate_tokens(request), output_tokens=said, estimated=True)
    return ModelReply(
        text=text,
        calls=tuple(calls),
        stop=draft.stop,
        stop_detail=draft.stop_detail[:500],
        usage=usage,
        served_model=(draft.served_model or request.choice.model)[:MAX_NAME],
        request_id=draft.request_id[:MAX_NAME],
        opaque=opaque_of(request.choice.provider, request.choice.model, draft.opaque),
    )


def arguments_object(arguments_json: str) -> Wire:
    """Arguments as the object that some protocols want back; what was no object is kept as text under one name."""
    try:
        value: object = json.loads(arguments_json)
    except (ValueError, RecursionError):
        value = None
    return cast("Wire", value) if isinstance(value, dict) else {"malformed_arguments": arguments_json[:2000]}
