"""OpenAI's Responses API: stateless (`store` off), strict tools, streamed, reasoning carried along encrypted."""

from collections.abc import Mapping
from typing import Any, cast

import openai

from activities.models.errors import ModelUnavailable
from activities.models.failures import reported, translated
from activities.models.names import WireNames
from activities.models.provider import Heartbeat, bounded
from activities.models.wire import (
    EMPTY,
    Draft,
    Wire,
    completed,
    count,
    items_of,
    object_of,
    opaque_items,
    reply_of,
    system_text,
    text_of,
    wire_names,
)
from contracts.model import (
    AssistantMessage,
    ModelReply,
    ModelRequest,
    ProposedCall,
    Provider,
    StopReason,
    ToolMessage,
    Usage,
)

__all__ = ["OpenAIProvider", "ResponseStream", "request_body"]

_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})


class OpenAIProvider:
    """Talks to the Responses API with the official SDK, whose own retries are off: Temporal retries."""

    def __init__(self, key: str, base_url: str) -> None:
        self._key = key
        self._client = openai.AsyncOpenAI(api_key=key, base_url=base_url, max_retries=0)

    async def complete(self, request: ModelRequest, heartbeat: Heartbeat) -> ModelReply:
        """Ask the model.

        Raises:
            ModelUnavailable: may be sent again.
            ModelRejected: useless to send again.
        """
        names = wire_names(request)
        body = cast("dict[str, Any]", request_body(request, names))
        received = ResponseStream()
        async with bounded(request.choice.timeout_s, heartbeat) as progress, translated("openai", self._key):
            stream = await self._client.responses.create(**body, stream=True, timeout=request.choice.timeout_s)
            received.request_id = stream.response.headers.get("x-request-id", "")
            async with stream:
                await progress.follow(stream, received.add)
        return received.reply(request, names, self._key)

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.close()


def request_body(request: ModelRequest, names: WireNames) -> Wire:
    """The request as the Responses API takes it."""
    choice = request.choice
    items: list[Wire] = []
    for message in completed(request.messages):
        match message:
            case AssistantMessage():
                items.extend(_spoken(message, choice.model, names))
            case ToolMessage():
                items.append(
                    {"type": "function_call_output", "call_id": message.call_id, "output": message.shown or EMPTY}
                )
            case _:
                items.append({"role": "user", "content": message.text or EMPTY})
    body: Wire = {
        "model": choice.model,
        "instructions": system_text(request.messages),
        "input": items or [{"role": "user", "content": EMPTY}],
        "tools": [
            {
                "type": "function",
                "name": names.out(tool.name),
                "description": tool.description,
                "parameters": tool.parameters,
                "strict": True,
            }
            for tool in request.tools
        ],
        "parallel_tool_calls": True,
        "max_output_tokens": choice.max_output_tokens,
        "store": False,
    }
    if choice.reasoning != "none":
        # Models that cannot reason refuse both.
        body["reasoning"] = {"effort": choice.reasoning}
        body["include"] = ["reasoning.encrypted_content"]
    return body


def _spoken(message: AssistantMessage, model: str, names: WireNames) -> list[Wire]:
    """An earlier answer, in its first order where the provider's own items tell: reasoning precedes what it led to."""
    calls = {call.call_id: call for call in message.calls}
    items: list[Wire] = []
    text_due = bool(message.text)
    for item in map(object_of, opaque_items(message, Provider.OPENAI, model)):
        kind = item.get("type")
        if kind == "reasoning":
            items.append(dict(item))
        elif kind == "message" and text_due:
            items.append(_text(message.text))
            text_due = False
        elif kind == "function_call" and text_of(item.get("call_id")) in calls:
            items.append(_call(calls.pop(text_of(item.get("call_id"))), names))
    if text_due:
        items.append(_text(message.text))
    return [*items, *(_call(call, names) for call in calls.values())]


def _text(text: str) -> Wire:
    return {"role": "assistant", "content": text}


def _call(call: ProposedCall, names: WireNames) -> Wire:
    return {
        "type": "function_call",
        "call_id": call.call_id,
        "name": names.out(call.tool),
        "arguments": call.arguments_json,
    }


class ResponseStream:
    """The events of one answer, as untrusted JSON objects."""

    def __init__(self) -> None:
        self._items: list[Mapping[str, object]] = []
        self._final: Mapping[str, object] | None = None
        self._error: object = None
        self.request_id = ""
        """From the response's headers: what the provider's support asks for."""

    def add(self, event: Mapping[str, object]) -> str:
        """Take an event; returns the text that it brought, for the progress note."""
        kind = event.get("type")
        if kind == "response.output_item.done":
            # The items as completed here are the ones to trust: encrypted reasoning may be partial elsewhere.
            self._items.append(object_of(event.get("item")))
        elif kind in _TERMINAL:
            self._final = object_of(event.get("response"))
        elif kind == "error":
            self._error = event
        return text_of(event.get("delta"))

    def reply(self, request: ModelRequest, names: WireNames, secret: str) -> ModelReply:
        """The reply.

        Raises:
            ModelUnavailable: the stream ended before the answer did, or reported a fault.
            ModelRejected: the provider reported that it will not answer.
        """
        final = self._final
        if self._error is not None:
            raise reported("openai", self._error, secret)
        if final is None:
            raise ModelUnavailable("openai: the stream ended before the answer did", possibly_charged=True)
        if final.get("status") == "failed":
            raise reported("openai", final.get("error"), secret)
        draft = Draft()
        draft.served_model = text_of(final.get("model"))
        draft.request_id = self.request_id or text_of(final.get("id"))
        draft.usage = _usage(object_of(final.get("usage")))
        markers: list[Wire] = []
        refusals: list[str] = []
        for item in self._items or [object_of(entry) for entry in items_of(final.get("output"))]:
            markers.extend(_take(item, draft, refusals))
        if any(marker.get("type") == "reasoning" for marker in markers):
            draft.opaque = markers
        _stop(draft, final, refusals)
        return reply_of(draft, request, names)


def _take(item: Mapping[str, object], draft: Draft, refusals: list[str]) -> list[Wire]:
    """Add an output item to the draft; returns what must be remembered of it to hand reasoning back in place."""
    match item.get("type"):
        case "message":
            for part in map(object_of, items_of(item.get("content"))):
                if part.get("type") == "refusal":
                    refusals.append(text_of(part.get("refusal")))
                elif part.get("type") == "output_text":
                    draft.texts.append(text_of(part.get("text")))
            return [{"type": "message"}]
        case "function_call":
            call_id = text_of(item.get("call_id"))
            draft.calls.append((call_id, text_of(item.get("name")), text_of(item.get("arguments"))))
            return [{"type": "function_call", "call_id": call_id}]
        case "reasoning" if item.get("encrypted_content"):
            # Without its encrypted content an item is only a name of something that we told the provider not to store.
            kept = {key: value for key, value in item.items() if value is not None and key != "status"}
            return [kept]
        case _:
            return []


def _stop(draft: Draft, final: Mapping[str, object], refusals: list[str]) -> None:
    reason = text_of(object_of(final.get("incomplete_details")).get("reason"))
    if refusals:
        draft.stop, draft.stop_detail = StopReason.REFUSAL, " ".join(refusals) or "refusal"
    elif reason == "content_filter":
        draft.stop, draft.stop_detail = StopReason.REFUSAL, reason
    elif reason == "max_output_tokens" or (final.get("status") == "incomplete" and not reason):
        draft.stop, draft.stop_detail = StopReason.MAX_TOKENS, reason or "incomplete"
    elif final.get("status") == "completed":
        draft.stop = StopReason.TOOL_CALLS if draft.calls else StopReason.END_TURN
        draft.stop_detail = "completed"
    else:
        draft.stop, draft.stop_detail = StopReason.OTHER, reason or text_of(final.get("status"))


def _usage(usage: Mapping[str, object]) -> Usage | None:
    details = object_of(usage.get("input_tokens_details"))
    produced = object_of(usage.get("output_tokens_details"))
    if not usage:
        return None
    return Usage(
        input_tokens=count(usage.get("input_tokens")),
        cached_input_tokens=count(details.get("cached_tokens")),
        cache_write_tokens=count(details.get("cache_write_tokens")),
        output_tokens=count(usage.get("output_tokens")),
        reasoning_tokens=count(produced.get("reasoning_tokens")),
    )
