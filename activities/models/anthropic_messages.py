"""Anthropic's Messages API: streamed, strict tools, cached prompt and tools, signed thinking carried along."""

import re
from collections.abc import Sequence
from typing import Any, cast

import anthropic

from activities.models.anthropic_stream import MessageStream
from activities.models.failures import translated
from activities.models.names import WireNames
from activities.models.provider import Heartbeat, bounded
from activities.models.schemas import unions_in
from activities.models.wire import (
    EMPTY,
    Wire,
    arguments_object,
    completed,
    object_of,
    opaque_items,
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
    ToolMessage,
    ToolSchema,
)

__all__ = ["AnthropicProvider", "request_body"]

MAX_STRICT_TOOLS = 20
"""Tools of one request that the provider compiles into its grammar."""
MAX_STRICT_UNIONS = 16
"""Parameters of several types, nullable ones among them, over all strict tools of one request."""
_MIN_THINKING_TOKENS = 1_024
_CACHED: Wire = {"type": "ephemeral"}
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
                await progress.follow(stream, received.add)
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
    tools = _tools(request.tools, names)
    if tools:
        tools[-1]["cache_control"] = _CACHED
        body["tools"] = tools
    prompt = system_text(request.messages)
    if prompt.strip():
        body["system"] = [{"type": "text", "text": prompt, "cache_control": _CACHED}]
    return body | _thinking(choice)


def _tools(schemas: Sequence[ToolSchema], names: WireNames) -> list[Wire]:
    """The tools, strict as far as the provider's limits go: beyond them it refuses the whole request.

    What is not held strictly is checked all the same: every call is validated before anything else happens to it.
    """
    tools: list[Wire] = []
    unions = 0
    for position, schema in enumerate(schemas):
        own = unions_in(schema.parameters)
        strict = position < MAX_STRICT_TOOLS and unions + own <= MAX_STRICT_UNIONS
        unions += own if strict else 0
        tools.append(
            {
                "name": names.out(schema.name),
                "description": schema.description,
                "input_schema": schema.parameters,
                "strict": strict,
            }
        )
    return tools


def _thinking(choice: ModelChoice) -> Wire:
    if choice.reasoning == "none":
        return {}
    if not _TAKES_BUDGET.match(choice.model):
        return {"thinking": {"type": "adaptive"}, "output_config": {"effort": choice.reasoning}}
    budget = int(choice.max_output_tokens / _THINKING_SHARE[choice.reasoning])
    # The provider's least is 1,024, and the answer needs room besides.
    return {"thinking": {"type": "enabled", "budget_tokens": budget}} if budget >= _MIN_THINKING_TOKENS else {}


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
                    "content": message.shown or EMPTY,
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
