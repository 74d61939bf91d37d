"""One key, one effect: however often and however fast it is asked for."""

import asyncio

import httpx
import pytest

from tests.examples.caller import REFUND, Caller, new_key
from tests.examples.server import Server

pytestmark = pytest.mark.req("I1")


def test_same_key_and_body_gives_the_stored_answer(server: Server, caller: Caller) -> None:
    key = new_key()
    first = caller.refund(key=key)
    again = caller.refund(key=key)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert (again.status_code, again.content) == (first.status_code, first.content)
    books = server.books()
    assert (len(server.refunds()), len(books["effects"]), len(books["replayed"])) == (1, 1, 1)


def test_same_body_written_in_another_order_is_the_same_request(server: Server, caller: Caller) -> None:
    key = new_key()
    caller.refund(key=key)
    shuffled = dict(reversed(REFUND.items()))
    again = caller.write("/refunds", "refunds:write", shuffled, key=key)
    assert again.headers["idempotency-replayed"] == "true"
    assert len(server.refunds()) == 1


def test_same_key_with_another_body_is_a_conflict(server: Server, caller: Caller) -> None:
    key = new_key()
    caller.refund(key=key)
    answer = caller.refund({"amount_minor": 999}, key=key)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_reused")
    assert [refund["amount_minor"] for refund in server.refunds()] == [1000]
    assert caller.effect(key).json()["status_code"] == 201


def test_same_key_at_another_endpoint_is_a_conflict(server: Server, caller: Caller) -> None:
    key = new_key()
    draft = caller.write("/tickets/TIC-2001/drafts", "tickets:write", {"ticket_id": "TIC-2001", "text": "Hi"}, key=key)
    body = {"ticket_id": "TIC-2001", "draft_id": draft.json()["draft_id"]}
    sent = caller.write("/tickets/TIC-2001/replies", "tickets:send", body, key=key)
    assert (sent.status_code, sent.json()["code"]) == (409, "idempotency_key_reused")
    assert [draft["status"] for draft in server.books()["drafts"]] == ["draft"]


def test_same_key_of_another_tenant_is_another_key(server: Server, caller: Caller) -> None:
    key = new_key()
    caller.refund(key=key)
    body = {**REFUND, "order_id": "ORD-5001"}
    other = caller.write("/refunds", "refunds:write", body, key=key, tenant="globex")
    assert other.status_code == 201
    assert (len(server.refunds("acme")), len(server.refunds("globex"))) == (1, 1)


def test_refusal_under_a_key_stays_when_circumstances_change(server: Server, caller: Caller) -> None:
    key = new_key()
    first = caller.refund({"order_id": "ORD-1006"}, key=key)
    assert first.json()["code"] == "refund_exceeds_remaining"
    caller.write("/refunds/RF-9001/reversal", "refunds:write", {"refund_id": "RF-9001", "reason": "parcel came back"})
    again = caller.refund({"order_id": "ORD-1006"}, key=key)
    assert (again.status_code, again.content) == (422, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert server.refunds() == []


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 201, "schlüssel".encode()])
def test_write_without_a_proper_key_is_refused(server: Server, caller: Caller, given: str | bytes | None) -> None:
    headers: dict[str, str | bytes] = {**caller.headers("refunds:write", REFUND, new_key())}
    del headers["Idempotency-Key"]
    if given is not None:
        headers["Idempotency-Key"] = given
    encoded = {name: value.encode() if isinstance(value, str) else value for name, value in headers.items()}
    answer = server.http.post("/refunds", json=REFUND, headers={name.encode(): encoded[name] for name in encoded})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_missing")
    assert server.refunds() == []


async def test_fifty_at_once_under_one_key_give_one_refund(server: Server, caller: Caller) -> None:
    key = new_key()
    sent = [caller.headers("refunds:write", REFUND, key) for _ in range(50)]
    async with httpx.AsyncClient(base_url=server.url, timeout=15.0) as client:
        answers = await asyncio.gather(*(client.post("/refunds", json=REFUND, headers=each) for each in sent))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert [answer.headers.get("idempotency-replayed") for answer in answers].count(None) == 1
    assert len(server.refunds()) == 1
    assert caller.order().json()["refunded_minor"] == 1000


async def test_fifty_at_once_with_one_stolen_token_give_one_refund(server: Server, caller: Caller) -> None:
    headers = caller.headers("refunds:write", REFUND, new_key())
    async with httpx.AsyncClient(base_url=server.url, timeout=15.0) as client:
        answers = await asyncio.gather(*(client.post("/refunds", json=REFUND, headers=headers) for _ in range(50)))
    assert sorted({answer.status_code for answer in answers}) == [201, 401]
    assert [answer.status_code for answer in answers].count(201) == 1
    assert len(server.refunds()) == 1


def test_probe_tells_what_became_of_a_key(caller: Caller) -> None:
    key = new_key()
    unseen = caller.effect(key)
    assert (unseen.status_code, unseen.json()["code"]) == (404, "effect_not_found")
    made = caller.refund(key=key).json()
    found = caller.effect(key).json()
    assert (found["operation"], found["status_code"], found["response"]) == ("POST /refunds", 201, made)
    encoded = key.replace("/", "%2F")
    assert caller.read(f"/effects/{encoded}", "effects:read", {"key": key}).json() == found


def test_window_is_declared(server: Server) -> None:
    declared = server.http.get("/.well-known/backoffice").json()
    assert declared["idempotency_key_window_s"] >= 7 * 24 * 3600
    assert (declared["token_max_lifetime_s"], declared["clock_leeway_s"]) == (300, 30)
