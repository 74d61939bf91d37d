"""Planned faults: each mode does to the caller, and to the books, exactly what its name says."""

import asyncio
import time

import httpx
import pytest

from tests.examples.caller import REFUND, Caller, new_key
from tests.examples.server import Server

SHORT_S = 0.3
LONG_S = 1.5


def test_timeout_before_effect_leaves_nothing_and_the_retry_does_it(server: Server, caller: Caller) -> None:
    server.plan_fault("timeout_before_effect", {"seconds": LONG_S})
    key = new_key()
    caller.give_up(key, done=False)
    assert caller.effect(key).status_code == 404
    retry = caller.refund(key=key)
    assert retry.status_code == 201
    assert "idempotency-replayed" not in retry.headers
    assert len(server.refunds()) == 1


def test_timeout_before_effect_ends_in_504_without_effect_for_a_patient_caller(server: Server, caller: Caller) -> None:
    server.plan_fault("timeout_before_effect", {"seconds": SHORT_S})
    answer = caller.refund()
    assert (answer.status_code, answer.json()["code"]) == (504, "timed_out")
    assert server.refunds() == []


def test_timeout_after_effect_leaves_the_effect_and_the_retry_finds_it(server: Server, caller: Caller) -> None:
    server.plan_fault("timeout_after_effect", {"seconds": LONG_S})
    key = new_key()
    caller.give_up(key, done=True)
    probe = caller.effect(key)
    assert (probe.status_code, probe.json()["status_code"]) == (200, 201)
    assert caller.refund(key=key).headers["idempotency-replayed"] == "true"
    assert len(server.refunds()) == 1


def test_429_tells_when_to_come_back_and_does_nothing(server: Server, caller: Caller) -> None:
    server.plan_fault("status_429", {"retry_after_s": 7})
    key = new_key()
    answer = caller.refund(key=key)
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert answer.headers["retry-after"] == "7"
    assert server.refunds() == []
    assert caller.refund(key=key).status_code == 201


@pytest.mark.parametrize(("mode", "effects"), [("status_500_before", 0), ("status_500_after", 1)])
def test_500_before_and_after_the_effect(server: Server, caller: Caller, mode: str, effects: int) -> None:
    server.plan_fault(mode)
    key = new_key()
    answer = caller.refund(key=key)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert len(server.refunds()) == effects
    assert caller.refund(key=key).status_code == 201
    assert len(server.refunds()) == 1


def test_slow_answers_late_and_right(server: Server, caller: Caller) -> None:
    server.plan_fault("slow", {"seconds": SHORT_S})
    started_s = time.monotonic()
    assert caller.refund().status_code == 201
    assert time.monotonic() - started_s >= SHORT_S
    assert len(server.refunds()) == 1


def test_request_that_outlives_its_token_has_no_effect(server: Server, caller: Caller) -> None:
    server.plan_fault("slow", {"seconds": 2.5})
    now = int(time.time())
    # Good on arrival thanks to the leeway of 30 s, dead two seconds later.
    answer = caller.refund(claims={"iat": now - 80, "nbf": now - 80, "exp": now - 28})
    assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")
    assert server.refunds() == []


def test_revocation_reaches_a_request_that_is_already_inside(server: Server, caller: Caller) -> None:
    server.plan_fault("slow", {"seconds": 1.0})
    caller.give_up(new_key(), done=False)
    server.admin("POST", "/revocations", {"tenant": "acme", "minimum_epoch": 1})
    server.plan_fault("slow", {"seconds": 1.0})
    # The second request waits at least as long as the first one still does, so the first has ended by then.
    assert caller.refund(claims={"epoch": 1}).status_code == 201
    assert len(server.refunds()) == 1


def test_fault_strikes_as_often_as_planned_and_only_where_it_fits(server: Server, caller: Caller) -> None:
    server.plan_fault("status_500_before", {"times": 2})
    assert caller.order().is_success
    ticket = {"ticket_id": "TIC-2001", "text": "Hello"}
    assert caller.write("/tickets/TIC-2001/drafts", "tickets:write", ticket).status_code == 201
    assert [caller.refund().status_code for _ in range(3)] == [500, 500, 201]
    [fault] = server.admin("GET", "/faults").json()["faults"]
    assert (fault["times"], fault["remaining"]) == (2, 0)


def test_reads_fail_as_planned_too(server: Server, caller: Caller) -> None:
    server.plan_fault("status_429", {"method": "GET", "path_regex": "^/orders/"})
    assert [caller.order().status_code for _ in range(2)] == [429, 200]


def test_unauthorised_request_uses_up_no_fault(server: Server, caller: Caller) -> None:
    server.plan_fault("status_500_before")
    assert caller.refund(claims={"scope": "orders:read"}).status_code == 403
    assert caller.refund().status_code == 500


async def test_each_turn_of_a_fault_is_handed_out_once(server: Server, caller: Caller) -> None:
    server.plan_fault("status_500_before", {"times": 7})
    small = {**REFUND, "amount_minor": 1}
    sent = [caller.headers("refunds:write", small, new_key()) for _ in range(30)]
    async with httpx.AsyncClient(base_url=server.url, timeout=15.0) as client:
        answers = await asyncio.gather(*(client.post("/refunds", json=small, headers=each) for each in sent))
    assert sorted(answer.status_code for answer in answers) == [201] * 23 + [500] * 7
    assert len(server.refunds()) == 23


def test_faults_can_be_forgotten(server: Server, caller: Caller) -> None:
    server.plan_fault("status_500_before", {"times": 5})
    assert server.admin("DELETE", "/faults").json() == {"removed": 1}
    assert caller.refund().status_code == 201


def test_a_fault_of_one_tenant_strikes_no_other(server: Server, caller: Caller) -> None:
    server.plan_fault("status_500_before", {"tenant": "globex"})
    assert caller.refund().status_code == 201
    server.plan_fault("status_500_before", {"tenant": "acme"})
    assert caller.refund().status_code == 500
