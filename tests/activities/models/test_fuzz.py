"""Whatever a provider sends, the mapping gives a reply or one of the two errors; whatever the transcript, a request."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.models import anthropic_messages, anthropic_stream, openai_compatible, openai_responses
from activities.models.errors import ModelRejected, ModelUnavailable
from activities.models.wire import wire_names
from contracts.canonical import canonical_bytes
from contracts.model import (
    AssistantMessage,
    Message,
    ModelReply,
    ModelRequest,
    ProposedCall,
    Provider,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from tests.activities.models.conftest import TOOLS, choice_of, request_of
from tests.thorough import examples

pytestmark = pytest.mark.req("B4")

WORDS = [
    "type",
    "id",
    "index",
    "item",
    "delta",
    "content",
    "content_block",
    "message",
    "model",
    "usage",
    "status",
    "output",
    "text",
    "refusal",
    "name",
    "arguments",
    "call_id",
    "encrypted_content",
    "summary",
    "input_tokens",
    "output_tokens",
    "input_tokens_details",
    "cached_tokens",
    "choices",
    "finish_reason",
    "tool_calls",
    "function",
    "partial_json",
    "stop_reason",
    "stop_details",
    "category",
    "error",
    "code",
    "response",
    "incomplete_details",
    "reason",
]
KINDS = [
    "response.completed",
    "response.failed",
    "response.incomplete",
    "response.output_item.done",
    "error",
    "message",
    "function_call",
    "reasoning",
    "output_text",
    "refusal",
    "message_start",
    "content_block_start",
    "content_block_delta",
    "message_delta",
    "message_stop",
    "text",
    "tool_use",
    "thinking",
    "redacted_thinking",
    "text_delta",
    "input_json_delta",
    "thinking_delta",
    "signature_delta",
    "completed",
    "failed",
    "incomplete",
    "stop",
    "tool_calls",
    "length",
    "end_turn",
    "max_output_tokens",
    "content_filter",
]
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(KINDS),
    st.just("\ud800"),
)
garbage = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)),
    max_leaves=8,
)


@st.composite
def wild(draw: st.DrawFn, kinds: Sequence[str] = KINDS) -> dict[str, object]:
    """An object of a kind that the mapping knows, with anything in it."""
    fields = draw(st.dictionaries(st.sampled_from(WORDS), garbage, max_size=5))
    return {**fields, "type": draw(st.sampled_from(kinds))}


@st.composite
def enclosed(draw: st.DrawFn) -> dict[str, object]:
    """An event of the right shape around such an object, so that the mapping is entered."""
    item = draw(wild(("reasoning", "function_call", "message", "thinking", "text", "tool_use")))
    item["encrypted_content"] = draw(garbage)
    key, kind = draw(
        st.sampled_from(
            [
                ("item", "response.output_item.done"),
                ("response", "response.completed"),
                ("content_block", "content_block_start"),
                ("message", "message_start"),
            ]
        )
    )
    return {"type": kind, "index": 0, key: item}


events: st.SearchStrategy[list[dict[str, object]]] = st.lists(st.one_of(wild(), enclosed()), max_size=5)


def check(reply: ModelReply, request: ModelRequest) -> None:
    assert len({call.call_id for call in reply.calls}) == len(reply.calls)
    assert reply.usage.total_tokens > 0
    # It can be stored, digested, and sent again as part of the next request.
    canonical_bytes(reply)
    assert ModelReply.model_validate_json(reply.model_dump_json()) == reply
    spoken = AssistantMessage(text=reply.text, calls=reply.calls, opaque=reply.opaque)
    again = request.model_copy(update={"messages": (*request.messages, spoken)})
    body(again)


def body(request: ModelRequest) -> dict[str, object]:
    names = wire_names(request)
    match request.choice.provider:
        case Provider.OPENAI:
            made = openai_responses.request_body(request, names)
        case Provider.ANTHROPIC:
            made = anthropic_messages.request_body(request, names)
        case _:
            made = openai_compatible.request_body(request, names)
    json.dumps(made, allow_nan=False).encode("utf-8")
    return made


@settings(deadline=None, max_examples=examples(80))
@given(events)
def test_any_openai_events_give_a_reply_or_an_error(sent: list[dict[str, object]]) -> None:
    request = request_of(choice_of(Provider.OPENAI), "go")
    stream = openai_responses.ResponseStream()
    for event in sent:
        stream.add(event)
    with suppress(ModelUnavailable, ModelRejected):
        check(stream.reply(request, wire_names(request), "key"), request)


@settings(deadline=None, max_examples=examples(80))
@given(events)
def test_any_anthropic_events_give_a_reply_or_an_error(sent: list[dict[str, object]]) -> None:
    request = request_of(choice_of(Provider.ANTHROPIC), "go")
    stream = anthropic_stream.MessageStream()
    for event in [*sent, {"type": "message_stop"}]:
        stream.add(event)
    with suppress(ModelUnavailable):
        check(stream.reply(request, wire_names(request)), request)


@settings(deadline=None, max_examples=examples(80))
@given(events)
def test_any_chat_chunks_give_a_reply_or_an_error(sent: list[dict[str, object]]) -> None:
    request = request_of(choice_of(Provider.COMPATIBLE), "go")
    stream = openai_compatible.CompletionStream()
    for event in [*sent, {"choices": [{"finish_reason": "stop"}]}]:
        stream.add(event)
    with suppress(ModelUnavailable, ModelRejected):
        check(stream.reply(request, wire_names(request), "key"), request)


ids = st.sampled_from(["a", "b", "c"])
texts = st.text(max_size=10)
calls = st.builds(
    ProposedCall, call_id=ids, tool=st.sampled_from(["crm.read_ticket", "made up!"]), arguments_json=texts
)
messages = st.one_of(
    st.builds(SystemMessage, text=texts),
    st.builds(UserMessage, text=texts),
    st.builds(
        AssistantMessage, text=texts, calls=st.lists(calls, max_size=3, unique_by=lambda c: c.call_id).map(tuple)
    ),
    st.builds(ToolMessage, call_id=ids, tool=st.just("crm.read_ticket"), text=texts, is_error=st.booleans()),
)


@settings(deadline=None, max_examples=examples(80))
@given(st.lists(messages, max_size=8), st.sampled_from([Provider.OPENAI, Provider.ANTHROPIC, Provider.COMPATIBLE]))
def test_every_call_of_any_transcript_is_answered_exactly_once(transcript: list[Message], provider: Provider) -> None:
    request = ModelRequest(choice=choice_of(provider), messages=tuple(transcript), tools=TOOLS)
    made = body(request)
    if provider is not Provider.ANTHROPIC:
        return
    turns = cast("list[dict[str, list[dict[str, object]]]]", made["messages"])
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * (len(turns) // 2) + ["user"] * (len(turns) % 2)
    for turn, after in zip(turns, [*turns[1:], {"content": []}], strict=True):
        asked = [block["id"] for block in turn["content"] if block["type"] == "tool_use"]
        answered = [block["tool_use_id"] for block in after["content"] if block["type"] == "tool_result"]
        assert sorted(map(str, asked)) == sorted(map(str, answered)) or not asked
