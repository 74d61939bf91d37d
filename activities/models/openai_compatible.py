"""Any server of OpenAI's chat completions protocol, by base URL: vLLM, llama.cpp, Ollama, gateways."""

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
    reply_of,
    system_text,
    text_of,
    wire_names,
)
from contracts.model import AssistantMessage, Message, ModelReply, ModelRequest, StopReason, ToolMessage, Usage

__all__ = ["CompatibleProvider", "CompletionStream", "request_body"]

MAX_CALLS = 1000
_STOPS = {
    "stop": StopReason.END_TURN,
    "tool_calls": StopReason.TOOL_CALLS,
    "function_call": StopReason.TOOL_CALLS,
    "length": StopReason.MAX_TOKENS,
    "content_filter": StopReason.REFUSAL,
}


class CompatibleProvider:
    """Talks chat completions with the official OpenAI SDK, whose own retries are off."""

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
        received = CompletionStream()
        async with bounded(request.choice.timeout_s, heartbeat) as progress, translated("compatible", self._key):
            stream = await self._client.chat.completions.create(**body, stream=True, timeout=request.choice.timeout_s)
            received.request_id = stream.response.headers.get("x-request-id", "")
            async with stream:
                await progress.follow(stream, received.add)
        return received.reply(request, names, self._key)

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.close()


def request_body(request: ModelRequest, names: WireNames) -> Wire:
    """The request as chat completions take it, with nothing in it that only OpenAI's own servers know."""
    choice = request.choice
    messages: list[Wire] = [{"role": "system", "content": system_text(request.messages) or EMPTY}]
    messages.extend(_message(message, names) for message in completed(request.messages))
    body: Wire = {
        "model": choice.model,
        "messages": messages,
        # The name that every server knows; OpenAI's newer one is ignored by many, which would lift the bound.
        "max_tokens": choice.max_output_tokens,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": names.out(tool.name),
                    "description": tool.description,
                    "parameters": tool.parameters,
                    "strict": True,
                },
            }
            for tool in request.tools
        ]
    if choice.reasoning != "none":
        body["reasoning_effort"] = choice.reasoning
    return body


def _message(message: Message, names: WireNames) -> Wire:
    match message:
        case AssistantMessage():
            said: Wire = {"role": "assistant", "content": message.text or None}
            if message.calls:
                said["tool_calls"] = [
                    {
                        "id": call.call_id,
                        "type": "function",
                        "function": {"name": names.out(call.tool), "arguments": call.arguments_json},
                    }
                    for call in message.calls
                ]
            return said
        case ToolMessage():
            return {"role": "tool", "tool_call_id": message.call_id, "content": message.shown or EMPTY}
        case _:
            return {"role": "user", "content": message.text or EMPTY}


class CompletionStream:
    """The chunks of one answer, as untrusted JSON objects."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._calls: dict[int, tuple[list[str], list[str], list[str]]] = {}
        """Pieces of id, name and arguments, by index."""
        self._finish = ""
        self._usage: Mapping[str, object] = {}
        self._model = ""
        self._id = ""
        self._error: object = None
        self.request_id = ""
        """From the response's headers: what the server's operator asks for."""

    def add(self, event: Mapping[str, object]) -> str:
        """Take a chunk; returns the text that it brought, for the progress note."""
        self._error = event.get("error") or self._error
        self._model = text_of(event.get("model")) or self._model
        self._id = text_of(event.get("id")) or self._id
        self._usage = object_of(event.get("usage")) or self._usage
        choices = items_of(event.get("choices"))
        choice = object_of(choices[0] if choices else None)
        delta = object_of(choice.get("delta"))
        self._finish = text_of(choice.get("finish_reason")) or self._finish
        text = text_of(delta.get("content"))
        self._texts.append(text)
        self._refusals.append(text_of(delta.get("refusal")))
        return text + "".join(self._grow(object_of(call)) for call in items_of(delta.get("tool_calls")))

    def _grow(self, call: Mapping[str, object]) -> str:
        index = count(call.get("index"))
        if index not in self._calls and len(self._calls) >= MAX_CALLS:
            return ""
        call_id, name, arguments = self._calls.setdefault(index, ([], [], []))
        function = object_of(call.get("function"))
        call_id.append(text_of(call.get("id")))
        name.append(text_of(function.get("name")))
        arguments.append(text_of(function.get("arguments")))
        return arguments[-1]

    def reply(self, request: ModelRequest, names: WireNames, secret: str) -> ModelReply:
        """The reply.

        Raises:
            ModelUnavailable: the stream ended before the answer did, or reported a fault.
            ModelRejected: the server reported that it will not answer.
        """
        if self._error is not None:
            raise reported("compatible", self._error, secret)
        if not self._finish:
            raise ModelUnavailable("compatible: the stream ended before the answer did", possibly_charged=True)
        draft = Draft()
        draft.texts = self._texts
        for _, (call_id, name, arguments) in sorted(self._calls.items()):
            draft.calls.append(("".join(call_id), "".join(name), "".join(arguments)))
        refusal = "".join(self._refusals)
        draft.stop = StopReason.REFUSAL if refusal else _STOPS.get(self._finish, StopReason.OTHER)
        if draft.stop is StopReason.END_TURN and draft.calls:
            draft.stop = StopReason.TOOL_CALLS  # Several servers say `stop` when they mean tool calls.
        draft.stop_detail = refusal or self._finish
        draft.usage = _usage(self._usage)
        draft.served_model, draft.request_id = self._model, self.request_id or self._id
        return reply_of(draft, request, names)


def _usage(usage: Mapping[str, object]) -> Usage | None:
    if not usage:
        return None
    details = object_of(usage.get("prompt_tokens_details"))
    produced = object_of(usage.get("completion_tokens_details"))
    return Usage(
        input_tokens=count(usage.get("prompt_tokens")),
        cached_input_tokens=count(details.get("cached_tokens")),
        cache_write_tokens=count(details.get("cache_write_tokens")),
        output_tokens=count(usage.get("completion_tokens")),
        reasoning_tokens=count(produced.get("reasoning_tokens")),
    )
