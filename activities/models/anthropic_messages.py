"""Anthropic's Messages API: streamed, strict tools, cached prompt and tools, signed thinking carried along."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import anthropic
from pydantic import BaseModel

from activities.models.errors import ModelUnavailable
from activities.models.failures import translated
from activities.models.names import WireNames
from activities.models.provider import Heartbeat, bounded
from activities.models.wire import (
    EMPTY,
    Draft,
    Wire,
    arguments_object,
    completed,
    count,
    object_of,
    opaque_items,
    reply_of,
    system_text,
    text_of,
    wire_names,
)
from contracts.model import (
    AssistantMessage,
    Message,
    ModelChoice,
    ModelReply,
    ModelRequest,
    ProposedCall,
    Provider,
    StopReason,
    ToolMessage,
    Usage,
)

__all__ = ["AnthropicProvider", "MessageStream", "request_body"]

_CACHED: Wire = {"type": "ephemeral"}
_STOPS = {
    "tool_use": StopReason.TOOL_CALLS,
    "end_turn": StopReason.END_TURN,
    "stop_sequence": StopReason.END_TURN,
    "max_tokens": StopReason.MAX_TOKENS,
    "model_context_window_exceeded": StopReason.MAX_TOKENS,
    "refusal": StopReason.REFUSAL,
}
_THINKING_SHARE = {"low": 4, "medium": 2, "high": 1.25}
"""What part of the answer's bound may be thought with, as a divisor, where the model takes a budget."""
_TAKES_BUDGET = re.compile(r"claude-(3|(opus|sonnet|haiku)-4-[0-5](-|$)|(opus|sonnet)-4-20)")
"""Models before 4.6 take a budget of thinking tokens; later ones adapt by effort and refuse a budget."""


class AnthropicProvider:
    """Talks to the Messages API with the official SDK, whose own retries and tracing are off."""

    def __init__(self, key: str, base_url: str) -> None:
        self._key = key
        # Its tracing would put spans where we do not look and send `traceparent` to the provider.
        self._client = anthropic.AsyncAnthropic(api_key=key, base_url=base_url, max_retries=0, open_telemetry=False)

    async def complete(self, request: ModelRequest, heartbeat: Heartbeat) -> ModelReply:
        """Ask the model.

        Raises:
            ModelUnavailable: may be sent again.
            ModelRejected: useless to send again.
        """
        names = wire_names(request)
        body = cast("dict[str, Any]", request_body(request, names))
        received = MessageStream()
        async with bounded(request.choice.timeout_s, heartbeat) as progress, translated("anthropic", self._key):
            stream = await self._client.messages.create(**body, stream=True, timeout=request.choice.timeout_s)
            received.request_id = stream.response.headers.get("request-id", "")
            async with stream:
                async for event in stream:
                    # Built without validation: what the server sent decides what it is, not the annotation.
                    item = cast("object", event)
                    if isinstance(item, BaseModel):
                        progress.add(
                            received.add(cast("Mapping[str, object]", item.model_dump(mode="json", warnings=False)))
                        )
        return received.reply(request, names)

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.close()


def request_body(request: ModelRequest, names: WireNames) -> Wire:
    """The request as the Messages API takes it."""
    choice = request.choice
    body: Wire = {
        "model": choice.model,
        "max_tokens": choice.max_output_tokens,
        "messages": _turns(completed(request.messages), choice, names),
    }
    tools: list[Wire] = [
        {
            "name": names.out(tool.name),
            "description": tool.description,
            "input_schema": tool.parameters,
            "strict": True,
        }
        for tool in request.tools
    ]
    if tools:
        tools[-1]["cache_control"] = _CACHED
        body["tools"] = tools
    prompt = system_text(request.messages)
    if prompt.strip():
        body["system"] = [{"type": "text", "text": prompt, "cache_control": _CACHED}]
    return body | _thinking(choice)


def _thinking(choice: ModelChoice) -> Wire:
    if choice.reasoning == "none":
        return {}
    if not _TAKES_BUDGET.match(choice.model):
        return {"thinking": {"type": "adaptive"}, "output_config": {"effort": choice.reasoning}}
    budget = int(choice.max_output_tokens / _THINKING_SHARE[choice.reasoning])
    # The provider's least is 1,024, and the answer needs room besides.
    return {"thinking": {"type": "enabled", "budget_tokens": budget}} if budget >= 1024 else {}  # noqa: PLR2004


def _turns(messages: Sequence[Message], choice: ModelChoice, names: WireNames) -> list[Wire]:
    """Alternating turns; the last block is a cache point, so that the next step reads what this one wrote."""
    turns: list[tuple[str, list[Wire]]] = []
    for message in messages:
        role = "assistant" if isinstance(message, AssistantMessage) else "user"
        if not turns or turns[-1][0] != role:
            turns.append((role, []))
        turns[-1][1].extend(_blocks(message, choice.model, names))
    if not turns or turns[0][0] != "user":
        turns.insert(0, ("user", [{"type": "text", "text": EMPTY}]))
    role, last = turns[-1]
    if role == "user":
        last[-1] = {**last[-1], "cache_control": _CACHED}
    return [{"role": role, "content": list(blocks)} for role, blocks in turns]


def _blocks(message: Message, model: str, names: WireNames) -> list[Wire]:
    match message:
        case AssistantMessage():
            return _spoken(message, model, names)
        case ToolMessage():
            return [
                {
                    "type": "tool_result",
                    "tool_use_id": message.call_id,
                    "content": message.text or EMPTY,
                    "is_error": message.is_error,
                }
            ]
        case _:
            return [{"type": "text", "text": message.text if message.text.strip() else EMPTY}]


def _spoken(message: AssistantMessage, model: str, names: WireNames) -> list[Wire]:
    """An earlier answer; thinking goes back unchanged and in place, or its signature does not hold."""
    calls = {call.call_id: call for call in message.calls}
    blocks: list[Wire] = []
    text_due = bool(message.text.strip())
    for item in map(object_of, opaque_items(message, Provider.ANTHROPIC, model)):
        kind = item.get("type")
        if kind in ("thinking", "redacted_thinking"):
            blocks.append(dict(item))
        elif kind == "text" and text_due:
            blocks.append({"type": "text", "text": message.text})
            text_due = False
        elif kind == "tool_use" and text_of(item.get("id")) in calls:
            blocks.append(_call(calls.pop(text_of(item.get("id"))), names))
    if text_due:
        blocks.append({"type": "text", "text": message.text})
    blocks.extend(_call(call, names) for call in calls.values())
    return blocks or [{"type": "text", "text": EMPTY}]


def _call(call: ProposedCall, names: WireNames) -> Wire:
    return {
        "type": "tool_use",
        "id": call.call_id,
        "name": names.out(call.tool),
        "input": arguments_object(call.arguments_json),
    }


class MessageStream:
    """The events of one answer, as untrusted JSON objects."""

    def __init__(self) -> None:
        self._message: Mapping[str, object] = {}
        self._blocks: dict[int, dict[str, object]] = {}
        self._pieces: dict[int, list[str]] = {}
        self._usage: dict[str, object] = {}
        self._delta: Mapping[str, object] = {}
        self._ended = False
        self.request_id = ""
        """From the response's headers: what the provider's support asks for."""

    def add(self, event: Mapping[str, object]) -> str:
        """Take an event; returns the text that it brought, for the progress note."""
        match event.get("type"):
            case "message_start":
                self._message = object_of(event.get("message"))
                self._usage = dict(object_of(self._message.get("usage")))
            case "content_block_start":
                index = count(event.get("index"))
                self._blocks[index] = dict(object_of(event.get("content_block")))
                self._pieces[index] = []
            case "content_block_delta":
                return self._grow(count(event.get("index")), object_of(event.get("delta")))
            case "message_delta":
                self._delta = object_of(event.get("delta"))
                # Cumulative; what it does not repeat stands as the start said.
                counted = object_of(event.get("usage")).items()
                self._usage.update({key: value for key, value in counted if value is not None})
            case "message_stop":
                self._ended = True
            case _:
                pass
        return ""

    def _grow(self, index: int, delta: Mapping[str, object]) -> str:
        block = self._blocks.get(index)
        if block is None:
            return ""
        if delta.get("type") == "input_json_delta":
            piece = text_of(delta.get("partial_json"))
            self._pieces[index].append(piece)
            return piece
        for field in ("text", "thinking", "signature"):
            if delta.get("type") == f"{field}_delta":
                block[field] = text_of(block.get(field)) + text_of(delta.get(field))
                return text_of(delta.get(field))
        return ""

    def reply(self, request: ModelRequest, names: WireNames) -> ModelReply:
        """The reply.

        Raises:
            ModelUnavailable: the stream ended before the answer did.
        """
        if not self._ended:
            raise ModelUnavailable("anthropic: the stream ended before the answer did", possibly_charged=True)
        draft = Draft()
        draft.served_model = text_of(self._message.get("model"))
        draft.request_id = self.request_id or text_of(self._message.get("id"))
        draft.usage = _usage(self._usage)
        markers: list[Wire] = []
        for index in sorted(self._blocks):
            markers.extend(_take(self._blocks[index], "".join(self._pieces[index]), draft))
        if any(marker.get("type") in ("thinking", "redacted_thinking") for marker in markers):
            draft.opaque = markers
        reason = text_of(self._delta.get("stop_reason"))
        details = object_of(self._delta.get("stop_details"))
        draft.stop = _STOPS.get(reason, StopReason.OTHER)
        words = (reason, text_of(details.get("category")), text_of(details.get("explanation")))
        draft.stop_detail = ": ".join(filter(None, words))
        return reply_of(draft, request, names)


def _take(block: Mapping[str, object], json_text: str, draft: Draft) -> list[Wire]:
    """Add a content block to the draft; returns what must be remembered of it to hand thinking back in place."""
    match block.get("type"):
        case "text":
            draft.texts.append(text_of(block.get("text")))
            return [{"type": "text"}]
        case "tool_use":
            call_id = text_of(block.get("id"))
            draft.calls.append((call_id, text_of(block.get("name")), json_text or "{}"))
            return [{"type": "tool_use", "id": call_id}]
        case "thinking" | "redacted_thinking":
            return [{key: value for key, value in block.items() if value is not None}]
        case _:
            return []


def _usage(usage: Mapping[str, object]) -> Usage | None:
    if not usage:
        return None
    read, written = count(usage.get("cache_read_input_tokens")), count(usage.get("cache_creation_input_tokens"))
    return Usage(
        # Theirs leaves out what the cache read and wrote.
        input_tokens=count(usage.get("input_tokens")) + read + written,
        cached_input_tokens=read,
        cache_write_tokens=written,
        output_tokens=count(usage.get("output_tokens")),
        reasoning_tokens=count(object_of(usage.get("output_tokens_details")).get("thinking_tokens")),
    )
