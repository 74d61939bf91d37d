"""The three wire protocols against a third party's mock of them."""

import pytest

from activities.models.errors import ModelRejected, ModelUnavailable
from contracts.model import Provider, StopReason, ToolMessage
from tests.activities.models.conftest import KEY, choice_of, client_of, no_heartbeat, request_of, said

pytestmark = [pytest.mark.node, pytest.mark.req("B4")]
each_provider = pytest.mark.parametrize("provider", [Provider.OPENAI, Provider.ANTHROPIC, Provider.COMPATIBLE])


@each_provider
async def test_text_comes_with_usage_and_the_served_model(aimock: str, provider: Provider) -> None:
    choice = choice_of(provider)
    async with client_of(provider, aimock) as client:
        reply = await client.complete(request_of(choice, "say hello"), no_heartbeat)
    assert reply.text == "Hello there"
    assert reply.calls == ()
    assert reply.stop is StopReason.END_TURN
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.estimated) == (40, 3, False)
    assert reply.served_model == choice.model
    assert reply.request_id


@each_provider
async def test_a_call_comes_under_our_name_and_its_answer_goes_back(aimock: str, provider: Provider) -> None:
    choice = choice_of(provider)
    async with client_of(provider, aimock) as client:
        reply = await client.complete(request_of(choice, "one call"), no_heartbeat)
        (call,) = reply.calls
        assert (call.call_id, call.tool) == ("call_one", "orders.get_status")
        assert call.arguments_json == '{"order_id":"ORD-1"}'
        assert reply.stop is StopReason.TOOL_CALLS
        answer = ToolMessage(call_id=call.call_id, tool=call.tool, text='{"status": "paid"}')
        transcript = (said((call.call_id, call.tool, call.arguments_json)), answer)
        after = await client.complete(request_of(choice, "one call", *transcript), no_heartbeat)
    assert after.text == "The order is paid."


@each_provider
async def test_parallel_calls_come_in_order_beside_text(aimock: str, provider: Provider) -> None:
    async with client_of(provider, aimock) as client:
        reply = await client.complete(request_of(choice_of(provider), "two calls"), no_heartbeat)
    assert [(call.call_id, call.tool) for call in reply.calls] == [
        ("call_a", "orders.get_status"),
        ("call_b", "crm.read_ticket"),
    ]
    assert reply.text == "Both."


@each_provider
async def test_too_many_requests_say_when_to_come_back_and_cost_nothing(aimock: str, provider: Provider) -> None:
    async with client_of(provider, aimock) as client:
        with pytest.raises(ModelUnavailable, match="429") as caught:
            await client.complete(request_of(choice_of(provider), "too many"), no_heartbeat)
    assert caught.value.retry_after_s == 7
    assert caught.value.status == 429
    assert not caught.value.possibly_charged


@each_provider
async def test_a_server_error_may_have_been_charged(aimock: str, provider: Provider) -> None:
    async with client_of(provider, aimock) as client:
        with pytest.raises(ModelUnavailable, match="boom") as caught:
            await client.complete(request_of(choice_of(provider), "fall over"), no_heartbeat)
    assert caught.value.status == 500
    assert caught.value.possibly_charged
    # The cause would carry the whole body and the request with its key into the run's history.
    assert caught.value.__cause__ is None


@each_provider
async def test_a_refused_key_is_not_retried_and_never_shown(aimock: str, provider: Provider) -> None:
    async with client_of(provider, aimock) as client:
        with pytest.raises(ModelRejected, match="Check the key") as caught:
            await client.complete(request_of(choice_of(provider), "not you"), no_heartbeat)
    assert caught.value.status == 401
    assert "canary" not in str(caught.value)
    assert KEY not in str(caught.value)


@each_provider
async def test_a_cut_stream_is_no_answer(aimock: str, provider: Provider) -> None:
    async with client_of(provider, aimock) as client:
        with pytest.raises(ModelUnavailable, match="cut") as caught:
            await client.complete(request_of(choice_of(provider), "cut the line"), no_heartbeat)
    assert caught.value.possibly_charged


@each_provider
async def test_a_late_answer_is_not_waited_for(aimock: str, provider: Provider) -> None:
    async with client_of(provider, aimock) as client:
        with pytest.raises(ModelUnavailable, match=r"within 0\.5 s") as caught:
            await client.complete(request_of(choice_of(provider, timeout_s=0.5), "be late"), no_heartbeat)
    assert caught.value.possibly_charged


@each_provider
async def test_a_truncated_answer_says_so(aimock: str, provider: Provider) -> None:
    async with client_of(provider, aimock) as client:
        reply = await client.complete(request_of(choice_of(provider), "write a lot"), no_heartbeat)
    assert reply.stop is StopReason.MAX_TOKENS
    assert reply.text == "half an ans"


@pytest.mark.parametrize("provider", [Provider.OPENAI, Provider.ANTHROPIC])
async def test_reasoning_is_kept_sealed_and_apart_from_the_text(aimock: str, provider: Provider) -> None:
    choice = choice_of(provider, reasoning="low", tokens=8192)
    async with client_of(provider, aimock) as client:
        reply = await client.complete(request_of(choice, "think first"), no_heartbeat)
    assert reply.text == "Thought."
    (bundle,) = reply.opaque
    assert bundle["provider"] == provider.value
    assert "because" not in reply.text
