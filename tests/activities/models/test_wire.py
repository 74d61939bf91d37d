"""What the third party's mock cannot be brought to say, said by a server of our own, to the real SDKs."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import cast

import pytest

import activities.models.provider as provider_module
from activities.models.errors import ModelRejected, ModelUnavailable
from contracts.base import JsonObject
from contracts.model import AssistantMessage, ModelReply, Provider, StopReason, ToolMessage
from tests.activities.models.conftest import (
    KEY,
    Part,
    Speaker,
    anthropic_events,
    choice_of,
    client_of,
    no_heartbeat,
    request_of,
    response,
    tool_named,
)

pytestmark = pytest.mark.req("B4")
each_provider = pytest.mark.parametrize("provider", [Provider.OPENAI, Provider.ANTHROPIC, Provider.COMPATIBLE])

MESSAGE = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
TEXT: list[tuple[Part, list[Part]]] = [({"type": "text", "text": ""}, [{"type": "text_delta", "text": "Hi"}])]


async def ask(speaker: Speaker, provider: Provider, reasoning: str = "none", tokens: int = 4096) -> ModelReply:
    choice = choice_of(provider, reasoning=reasoning, tokens=tokens, timeout_s=10)
    async with client_of(provider, speaker.url) as client:
        return await client.complete(request_of(choice, "go"), no_heartbeat)


def chunk(delta: Part, finish: str | None = None) -> dict[str, object]:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c1", "object": "chat.completion.chunk", "model": "served-1", "created": 1, "choices": choices}


async def test_openai_refusal_is_a_refusal_with_its_words(speaker: Speaker) -> None:
    content = [{"type": "refusal", "refusal": "I will not."}]
    speaker.stream(response([{**MESSAGE, "content": content}]))
    reply = await ask(speaker, Provider.OPENAI)
    assert (reply.stop, reply.stop_detail, reply.text) == (StopReason.REFUSAL, "I will not.", "")


async def test_anthropic_refusal_is_a_refusal_with_its_reason(speaker: Speaker) -> None:
    stop = {"stop_reason": "refusal", "stop_details": {"type": "refusal", "category": "cyber"}}
    speaker.stream(*anthropic_events([], stop))
    reply = await ask(speaker, Provider.ANTHROPIC)
    assert (reply.stop, reply.stop_detail) == (StopReason.REFUSAL, "refusal: cyber")


async def test_compatible_refusal_is_a_refusal_with_its_words(speaker: Speaker) -> None:
    speaker.stream(chunk({"refusal": "I will "}), chunk({"refusal": "not."}), chunk({}, "stop"), "[DONE]")
    reply = await ask(speaker, Provider.COMPATIBLE)
    assert (reply.stop, reply.stop_detail, reply.served_model) == (StopReason.REFUSAL, "I will not.", "served-1")


async def test_a_filtered_openai_answer_is_a_refusal(speaker: Speaker) -> None:
    speaker.stream(response([], status="incomplete", incomplete_details={"reason": "content_filter"}))
    assert (await ask(speaker, Provider.OPENAI)).stop is StopReason.REFUSAL


async def test_openai_usage_has_cache_and_reasoning_within_its_totals(speaker: Speaker) -> None:
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 15},
    }
    speaker.stream(response([], usage=usage))
    counted = (await ask(speaker, Provider.OPENAI)).usage
    assert (counted.input_tokens, counted.cached_input_tokens, counted.cache_write_tokens) == (100, 60, 30)
    assert (counted.output_tokens, counted.reasoning_tokens) == (20, 15)


async def test_anthropic_usage_gains_what_the_cache_read_and_wrote(speaker: Speaker) -> None:
    usage = {"input_tokens": 10, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 30}
    speaker.stream(*anthropic_events(TEXT, {"stop_reason": "end_turn"}, **usage), request_id="req_42")
    reply = await ask(speaker, Provider.ANTHROPIC)
    counted = reply.usage
    assert (counted.input_tokens, counted.cached_input_tokens, counted.cache_write_tokens) == (100, 60, 30)
    assert counted.output_tokens == 7
    assert (reply.text, reply.request_id, reply.served_model) == ("Hi", "req_42", "served-1")


async def test_missing_usage_is_estimated_and_said_to_be(speaker: Speaker) -> None:
    speaker.stream(chunk({"content": "Hello"}, "stop"), "[DONE]")
    usage = (await ask(speaker, Provider.COMPATIBLE)).usage
    assert usage.estimated
    assert usage.input_tokens > 0
    assert usage.output_tokens > 0


async def test_openai_is_asked_statelessly_with_strict_tools(speaker: Speaker) -> None:
    speaker.stream(response([]))
    await ask(speaker, Provider.OPENAI, reasoning="low")
    (body,) = speaker.asked
    assert body["store"] is False
    assert body["parallel_tool_calls"] is True
    assert body["include"] == ["reasoning.encrypted_content"]
    assert body["max_output_tokens"] == 4096
    tools = cast("list[dict[str, object]]", body["tools"])
    assert [tool["name"] for tool in tools] == ["orders-get_status", "crm-read_ticket", "finish"]
    assert all(tool["strict"] is True for tool in tools)


async def test_anthropic_caches_prompt_tools_and_the_transcript_so_far_and_is_sent_no_trace(speaker: Speaker) -> None:
    speaker.stream(*anthropic_events(TEXT, {"stop_reason": "end_turn"}))
    await ask(speaker, Provider.ANTHROPIC)
    (body,) = speaker.asked
    cached = {"type": "ephemeral"}
    tools = cast("list[dict[str, object]]", body["tools"])
    assert [tool.get("cache_control") for tool in tools] == [None, None, cached]
    assert cast("list[dict[str, object]]", body["system"])[-1]["cache_control"] == cached
    messages = cast("list[dict[str, list[dict[str, object]]]]", body["messages"])
    assert messages[-1]["content"][-1]["cache_control"] == cached
    assert "traceparent" not in speaker.headers[0]


async def test_anthropic_is_asked_strictly_within_its_limits(speaker: Speaker) -> None:
    plain = tool_named("area.plain")
    either = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    wide = plain.model_copy(
        update={"name": "area.wide", "parameters": {"properties": {f"p{n}": either for n in range(17)}}}
    )
    tools = (wide, *(plain.model_copy(update={"name": f"area.tool_{n}"}) for n in range(24)))
    speaker.stream(*anthropic_events(TEXT, {"stop_reason": "end_turn"}))
    request = request_of(choice_of(Provider.ANTHROPIC), "go").model_copy(update={"tools": tools})
    async with client_of(Provider.ANTHROPIC, speaker.url) as client:
        await client.complete(request, no_heartbeat)
    sent = cast("list[dict[str, object]]", speaker.asked[0]["tools"])
    assert [tool["strict"] for tool in sent] == [False] + [True] * 19 + [False] * 5


async def test_openai_reasoning_goes_back_unchanged_and_in_its_place(speaker: Speaker) -> None:
    thought: Part = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2VhbGVk"}
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "crm-read_ticket", "arguments": "{}"}
    speaker.stream(response([thought, call]))
    choice = choice_of(Provider.OPENAI, reasoning="low")
    async with client_of(Provider.OPENAI, speaker.url) as client:
        reply = await client.complete(request_of(choice, "go"), no_heartbeat)
        transcript = (
            AssistantMessage(text=reply.text, calls=reply.calls, opaque=reply.opaque),
            ToolMessage(call_id="call_1", tool="crm.read_ticket", text="{}"),
        )
        await client.complete(request_of(choice, "go", *transcript), no_heartbeat)
    items = cast("list[dict[str, object]]", speaker.asked[1]["input"])
    assert [item.get("type", item.get("role")) for item in items] == [
        "user",
        "reasoning",
        "function_call",
        "function_call_output",
    ]
    assert items[1] == thought
    assert items[2]["name"] == "crm-read_ticket"


async def test_anthropic_thinking_goes_back_unchanged_and_in_its_place(speaker: Speaker) -> None:
    blocks: list[tuple[Part, list[Part]]] = [
        (
            {"type": "thinking", "thinking": "", "signature": ""},
            [{"type": "thinking_delta", "thinking": "Hmm."}, {"type": "signature_delta", "signature": "c2ln"}],
        ),
        ({"type": "redacted_thinking", "data": "c2VhbGVk"}, []),
        (
            {"type": "tool_use", "id": "toolu_1", "name": "crm-read_ticket", "input": {}},
            [
                {"type": "input_json_delta", "partial_json": '{"ticket'},
                {"type": "input_json_delta", "partial_json": '": 1}'},
            ],
        ),
    ]
    speaker.stream(*anthropic_events(blocks, {"stop_reason": "tool_use"}))
    choice = choice_of(Provider.ANTHROPIC, reasoning="medium", tokens=8192)
    async with client_of(Provider.ANTHROPIC, speaker.url) as client:
        reply = await client.complete(request_of(choice, "go"), no_heartbeat)
        assert reply.calls[0].arguments_json == '{"ticket": 1}'
        transcript = (
            AssistantMessage(text=reply.text, calls=reply.calls, opaque=reply.opaque),
            ToolMessage(call_id="toolu_1", tool="crm.read_ticket", text="{}"),
        )
        await client.complete(request_of(choice, "go", *transcript), no_heartbeat)
    assert speaker.asked[0]["thinking"] == {"type": "enabled", "budget_tokens": 4096}
    messages = cast("list[dict[str, list[dict[str, object]]]]", speaker.asked[1]["messages"])
    assert messages[1]["content"] == [
        {"type": "thinking", "thinking": "Hmm.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "c2VhbGVk"},
        {"type": "tool_use", "id": "toolu_1", "name": "crm-read_ticket", "input": {"ticket": 1}},
    ]


async def test_another_models_reasoning_stays_behind(speaker: Speaker) -> None:
    speaker.stream(response([]))
    bundle: JsonObject = {"provider": "openai", "model": "other", "items": [{"type": "reasoning", "id": "rs"}]}
    async with client_of(Provider.OPENAI, speaker.url) as client:
        request = request_of(choice_of(Provider.OPENAI), "go", AssistantMessage(text="Said.", opaque=(bundle,)))
        await client.complete(request, no_heartbeat)
    assert speaker.asked[0]["input"] == [{"role": "user", "content": "go"}, {"role": "assistant", "content": "Said."}]


@each_provider
async def test_an_http_date_tells_when_to_come_back(speaker: Speaker, provider: Provider) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    speaker.answer(503, {"error": {"message": "later", "type": "overloaded_error"}}, **{"retry-after": at})
    with pytest.raises(ModelUnavailable, match="503") as caught:
        await ask(speaker, provider)
    assert caught.value.retry_after_s is not None
    assert 60 < caught.value.retry_after_s <= 90


async def test_an_empty_account_is_not_waited_for(speaker: Speaker) -> None:
    speaker.answer(429, {"error": {"message": "quota", "code": "insufficient_quota", "type": "insufficient_quota"}})
    with pytest.raises(ModelRejected, match="cannot pay"):
        await ask(speaker, Provider.OPENAI)


@each_provider
async def test_an_unknown_model_is_rejected_with_advice(speaker: Speaker, provider: Provider) -> None:
    speaker.answer(404, {"error": {"message": "no such model", "type": "not_found_error"}})
    with pytest.raises(ModelRejected, match="Check the model id") as caught:
        await ask(speaker, provider)
    assert caught.value.status == 404


@each_provider
async def test_a_long_error_body_with_the_key_is_cut_and_cleaned(speaker: Speaker, provider: Provider) -> None:
    speaker.answer(
        400, {"error": {"message": f"you sent {KEY} " + "and much text " * 500, "type": "invalid_request_error"}}
    )
    with pytest.raises(ModelRejected) as caught:
        await ask(speaker, provider)
    assert KEY not in str(caught.value)
    assert len(str(caught.value)) < 400


async def test_an_overload_within_a_stream_may_be_sent_again(speaker: Speaker) -> None:
    start = anthropic_events(TEXT, {})[:3]
    speaker.stream(*start, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    with pytest.raises(ModelUnavailable, match="overloaded_error") as caught:
        await ask(speaker, Provider.ANTHROPIC)
    assert not caught.value.possibly_charged


async def test_a_failed_openai_answer_says_whether_it_may_be_sent_again(speaker: Speaker) -> None:
    speaker.stream(response([], status="failed", error={"code": "server_error", "message": "oops"}))
    with pytest.raises(ModelUnavailable, match="oops"):
        await ask(speaker, Provider.OPENAI)
    speaker.stream(response([], status="failed", error={"code": "invalid_prompt", "message": "no"}))
    with pytest.raises(ModelRejected, match="invalid_prompt"):
        await ask(speaker, Provider.OPENAI)


@each_provider
async def test_a_stream_that_ends_early_without_an_error_is_no_answer(speaker: Speaker, provider: Provider) -> None:
    partial: dict[Provider, list[object]] = {
        Provider.OPENAI: [{"type": "response.output_text.delta", "delta": "Hal"}],
        Provider.ANTHROPIC: list(anthropic_events(TEXT, {})[:3]),
        Provider.COMPATIBLE: [chunk({"content": "Hal"})],
    }
    speaker.stream(*partial[provider])
    with pytest.raises(ModelUnavailable, match="ended before") as caught:
        await ask(speaker, provider)
    assert caught.value.possibly_charged


@each_provider
async def test_a_stream_of_garbage_is_no_answer(speaker: Speaker, provider: Provider) -> None:
    speaker.stream({"type": "message_start", "x": [1]}, "this is not JSON")
    speaker.chunks.append(b"event: message_start\ndata: {{{\n\n")
    with pytest.raises(ModelUnavailable):
        await ask(speaker, provider)


@each_provider
async def test_nobody_listening_is_known_to_cost_nothing(provider: Provider) -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(ModelUnavailable, match="cannot be reached") as caught:
        await ask(Speaker(f"http://127.0.0.1:{port}"), provider)
    assert not caught.value.possibly_charged


@each_provider
async def test_a_stream_that_falls_silent_is_given_up_in_time(speaker: Speaker, provider: Provider) -> None:
    speaker.stream(chunk({"content": "Hal"}))
    speaker.hold = True
    async with client_of(provider, speaker.url) as client:
        with pytest.raises(ModelUnavailable):
            await client.complete(request_of(choice_of(provider, timeout_s=0.4), "go"), no_heartbeat)
    await asyncio.wait_for(speaker.gone.wait(), 5)


@each_provider
async def test_silence_is_heartbeaten_and_cancellation_hangs_up(
    speaker: Speaker, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_module, "HEARTBEAT_S", 0.02)
    speaker.stream(chunk({"content": "Hal"}))
    speaker.hold = True
    beats: list[str] = []
    enough = asyncio.Event()

    def heartbeat(note: str) -> None:
        beats.append(note)
        if len(beats) >= 3:
            enough.set()

    async with client_of(provider, speaker.url) as client:
        task = asyncio.create_task(client.complete(request_of(choice_of(provider), "go"), heartbeat))
        await asyncio.wait_for(enough.wait(), 5)
        assert not any("Hal" in note for note in beats)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await asyncio.wait_for(speaker.gone.wait(), 5)


async def test_an_answer_without_end_is_cut_off(speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_module, "MAX_CHARACTERS", 1000)
    speaker.stream(*[chunk({"content": "x" * 600})] * 2, chunk({}, "stop"))
    with pytest.raises(ModelRejected, match="passed 1000 characters"):
        await ask(speaker, Provider.COMPATIBLE)


async def test_a_server_that_says_stop_with_calls_means_calls(speaker: Speaker) -> None:
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "crm-read_ticket", "arguments": '{"ti'}}
    second: JsonObject = {"index": 0, "function": {"arguments": 'cket_id": "T"}'}}
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 5}}
    last: Part = {**chunk({}), "choices": [], "usage": usage}
    speaker.stream(chunk({"tool_calls": [first]}), chunk({"tool_calls": [second]}), chunk({}, "stop"), last, "[DONE]")
    reply = await ask(speaker, Provider.COMPATIBLE)
    assert reply.stop is StopReason.TOOL_CALLS
    assert json.loads(reply.calls[0].arguments_json) == {"ticket_id": "T"}
    assert (reply.calls[0].tool, reply.usage.cached_input_tokens) == ("crm.read_ticket", 5)
