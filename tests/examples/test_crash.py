"""After kill -9 the books hold exactly what was answered, keys are remembered, and planned faults are not repeated."""

import asyncio

import httpx
import pytest

from tests.examples.caller import REFUND, Caller, new_key
from tests.examples.server import Server
from tests.examples.tokens import Issuer

pytestmark = pytest.mark.req("I1")


def test_answered_write_survives_a_kill_and_its_key_is_remembered(issuer: Issuer, own_server: Server) -> None:
    caller = Caller(issuer, own_server)
    key = new_key()
    made = caller.refund(key=key)
    books = own_server.books()
    own_server.kill()
    own_server.start()
    assert own_server.books() == books
    again = caller.refund(key=key)
    assert (again.content, again.headers["idempotency-replayed"]) == (made.content, "true")


def test_kill_during_a_hang_after_the_effect_keeps_effect_and_spent_fault(issuer: Issuer, own_server: Server) -> None:
    caller = Caller(issuer, own_server)
    own_server.plan_fault("timeout_after_effect", {"seconds": 60})
    key = new_key()
    caller.give_up(key, done=True)
    own_server.kill()
    own_server.start()
    assert caller.effect(key).json()["status_code"] == 201
    assert caller.refund(key=key).headers["idempotency-replayed"] == "true"
    assert len(own_server.refunds()) == 1


def test_kill_during_a_hang_before_the_effect_leaves_nothing(issuer: Issuer, own_server: Server) -> None:
    caller = Caller(issuer, own_server)
    own_server.plan_fault("timeout_before_effect", {"seconds": 60, "times": 2})
    key = new_key()
    caller.give_up(key, done=False)
    own_server.kill()
    own_server.start()
    assert caller.effect(key).status_code == 404
    caller.give_up(key, done=False)
    assert caller.refund(key=key).status_code == 201
    assert len(own_server.refunds()) == 1


def test_spent_token_and_revocation_survive_a_kill(issuer: Issuer, own_server: Server) -> None:
    caller = Caller(issuer, own_server)
    headers = caller.headers("refunds:write", REFUND, new_key())
    own_server.http.post("/refunds", json=REFUND, headers=headers)
    own_server.admin("POST", "/revocations", {"tenant": "globex", "minimum_epoch": 3})
    own_server.kill()
    own_server.start()
    assert own_server.http.post("/refunds", json=REFUND, headers=headers).json()["code"] == "token_replayed"
    other = caller.read("/orders/ORD-5001", "orders:read", {"order_id": "ORD-5001"}, tenant="globex")
    assert other.json()["code"] == "token_revoked"


async def test_kill_amid_many_writes_loses_no_answered_one_and_retries_double_none(
    issuer: Issuer, own_server: Server
) -> None:
    caller = Caller(issuer, own_server)
    body = {**REFUND, "amount_minor": 1}
    keys = [new_key() for _ in range(60)]
    answered: set[str] = set()

    async def send(client: httpx.AsyncClient, key: str) -> None:
        headers = caller.headers("refunds:write", body, key)
        try:
            if (await client.post("/refunds", json=body, headers=headers)).status_code == 201:
                answered.add(key)
        except httpx.TransportError:
            return
        if len(answered) == 20:
            own_server.kill()

    limits = httpx.Limits(max_connections=8)
    async with httpx.AsyncClient(base_url=own_server.url, timeout=15.0, limits=limits) as client:
        await asyncio.gather(*(send(client, key) for key in keys))
    assert 20 <= len(answered) < len(keys)
    await asyncio.to_thread(own_server.start)
    kept = {refund["effect_key"] for refund in own_server.refunds()}
    assert answered <= kept
    for key in keys:
        assert caller.refund({"amount_minor": 1}, key=key).status_code == 201
    assert sorted(refund["effect_key"] for refund in own_server.refunds()) == sorted(keys)
    assert caller.order().json()["refunded_minor"] == len(keys)


def test_polite_stop_does_not_wait_for_a_hang(issuer: Issuer, own_server: Server) -> None:
    caller = Caller(issuer, own_server)
    own_server.plan_fault("timeout_before_effect", {"seconds": 60})
    caller.give_up(new_key(), done=False)
    # uvicorn ends by the signal that it was stopped with; the helper waits 20 s, the hang would last 60.
    assert own_server.stop() in {0, -15}
