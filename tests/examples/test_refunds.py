"""Refunds stay within what was paid, go back where the money came from, and can be taken back."""

import asyncio

import httpx
import pytest

from tests.examples.caller import REFUND, Caller, new_key
from tests.examples.server import Server


def test_refund_goes_to_the_original_payment_and_shows_in_every_view(server: Server, caller: Caller) -> None:
    before = caller.order().json()
    answer = caller.refund({"ticket_id": "TIC-2001"})
    made = answer.json()
    assert answer.status_code == 201
    assert (made["amount_minor"], made["currency"], made["status"]) == (1000, "EUR", "succeeded")
    assert made["destination"] == before["payment"]["account"]
    after = caller.order().json()
    assert (after["refunded_minor"], after["refundable_minor"]) == (1000, before["refundable_minor"] - 1000)
    assert after["version"] == before["version"] + 1 == made["order_version"]
    assert after["payment"]["status"] == "partially_refunded"
    of_order = {"order_id": "ORD-1001"}
    nested = caller.read("/orders/ORD-1001/refunds", "refunds:read", of_order).json()
    listed = caller.read("/refunds", "refunds:read", of_order, params=of_order).json()
    assert nested == listed == {"order_id": "ORD-1001", "refunds": [made]}
    single = caller.read(f"/refunds/{made['refund_id']}", "refunds:read", {"refund_id": made["refund_id"]})
    assert single.json() == made
    assert server.refunds() == [made]


@pytest.mark.parametrize(
    ("changes", "status_code", "code"),
    [
        ({"amount_minor": 4271}, 422, "refund_exceeds_remaining"),
        ({"order_id": "ORD-1006", "amount_minor": 1}, 422, "refund_exceeds_remaining"),
        ({"order_id": "ORD-1007", "amount_minor": 31901}, 422, "refund_exceeds_remaining"),
        ({"currency": "USD"}, 422, "currency_mismatch"),
        ({"order_id": "ORD-1008"}, 422, "payment_not_refundable"),
        ({"order_id": "ORD-9999"}, 404, "order_not_found"),
        ({"order_id": "ORD-5001"}, 404, "order_not_found"),
        ({"ticket_id": "TIC-6001"}, 404, "ticket_not_found"),
    ],
)
def test_refund_that_the_books_do_not_allow_is_refused(
    server: Server, caller: Caller, changes: dict[str, str], status_code: int, code: str
) -> None:
    key = new_key()
    answer = caller.refund(changes, key=key)
    assert (answer.status_code, answer.json()["code"]) == (status_code, code)
    assert server.refunds() == []
    assert caller.effect(key).json()["status_code"] == status_code


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": 0},
        {"amount_minor": -5},
        {"amount_minor": "1000"},
        {"amount_minor": 10.5},
        {"amount_minor": 10**13},
        {"currency": "eur"},
        {"reason_code": "because"},
        {"order_id": "../ORD-1001"},
        {"destination": "LT121000011101001000"},
    ],
)
def test_malformed_refund_is_refused_and_leaves_its_key_unused(
    server: Server, caller: Caller, changes: dict[str, object]
) -> None:
    key = new_key()
    answer = caller.refund(changes, key=key)
    assert (answer.status_code, answer.json()["code"]) == (422, "arguments_invalid")
    assert server.refunds() == []
    assert caller.effect(key).status_code == 404


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b'{"order_id": NaN}', b'{"a": 1, "a": 2}', b"[" * 50_000, b"\xff"]
)
def test_body_that_is_not_one_json_object_is_refused(server: Server, caller: Caller, body: bytes) -> None:
    headers = caller.headers("refunds:write", REFUND, new_key())
    answer = server.http.post("/refunds", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "arguments_invalid")


def test_enormous_body_is_not_read_to_its_end(server: Server, caller: Caller) -> None:
    headers = caller.headers("refunds:write", REFUND, new_key())
    answer = server.http.post("/refunds", content=b" " * 70_000, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_preview_shows_totals_before_and_after_and_changes_nothing(caller: Caller) -> None:
    arguments = {"order_id": "ORD-1007", "amount_minor": 31900}
    path = "/orders/ORD-1007/refund-preview"
    preview = caller.read(path, "refunds:read", arguments, params={"amount_minor": 31900}).json()
    assert preview["before"] == {"refunded_minor": 2900, "refundable_minor": 31900}
    assert preview["after"] == {"refunded_minor": 34800, "refundable_minor": 0}
    assert (preview["allowed"], preview["refusal"], preview["version"]) == (True, None, 2)
    assert caller.order("ORD-1007").json()["version"] == 2


def test_preview_of_too_much_says_why_it_would_be_refused(caller: Caller) -> None:
    arguments = {"order_id": "ORD-1007", "amount_minor": 31901}
    path = "/orders/ORD-1007/refund-preview"
    preview = caller.read(path, "refunds:read", arguments, params={"amount_minor": 31901}).json()
    assert (preview["allowed"], preview["after"]) == (False, None)
    assert preview["refusal"]["code"] == "refund_exceeds_remaining"


def test_reversal_gives_the_amount_back_to_the_payment_once(server: Server, caller: Caller) -> None:
    refund_id = caller.refund().json()["refund_id"]
    body = {"refund_id": refund_id, "reason": "made for the wrong order"}
    path = f"/refunds/{refund_id}/reversal"
    reversal = caller.write(path, "refunds:write", body)
    assert (reversal.status_code, reversal.json()["status"]) == (200, "reversed")
    assert reversal.json()["reversal_reason"] == "made for the wrong order"
    assert caller.order().json()["refunded_minor"] == 0
    again = caller.write(path, "refunds:write", body)
    assert (again.status_code, again.json()["code"]) == (409, "refund_already_reversed")
    assert caller.order().json()["refunded_minor"] == 0
    assert caller.refund({"amount_minor": 4270}).status_code == 201
    assert [entry["operation"] for entry in server.books()["effects"]] == [
        "POST /refunds",
        "POST /refunds/{refund_id}/reversal",
        "POST /refunds",
    ]


def test_path_and_body_must_name_the_same_refund(caller: Caller) -> None:
    refund_id = caller.refund().json()["refund_id"]
    body = {"refund_id": "RF-9001", "reason": "x"}
    answer = caller.write(f"/refunds/{refund_id}/reversal", "refunds:write", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "path_mismatch")


@pytest.mark.req("I1")
async def test_two_full_refunds_at_once_under_different_keys_give_one(server: Server, caller: Caller) -> None:
    for order_id, amount_minor in (("ORD-1002", 124900), ("ORD-1003", 8900), ("ORD-1005", 45900)):
        body = {**REFUND, "order_id": order_id, "amount_minor": amount_minor}
        sent = [caller.headers("refunds:write", body, new_key()) for _ in range(2)]
        async with httpx.AsyncClient(base_url=server.url, timeout=15.0) as client:
            answers = await asyncio.gather(*(client.post("/refunds", json=body, headers=each) for each in sent))
        assert sorted(answer.status_code for answer in answers) == [201, 422]
        [refused] = [answer for answer in answers if answer.status_code == 422]
        assert refused.json()["code"] == "refund_exceeds_remaining"
    assert len(server.refunds()) == 3


async def test_many_partial_refunds_at_once_never_exceed_the_payment(server: Server, caller: Caller) -> None:
    sent = [caller.headers("refunds:write", REFUND, new_key()) for _ in range(20)]
    async with httpx.AsyncClient(base_url=server.url, timeout=15.0) as client:
        answers = await asyncio.gather(*(client.post("/refunds", json=REFUND, headers=each) for each in sent))
    assert [answer.status_code for answer in answers].count(201) == 4
    assert caller.order().json()["refunded_minor"] == 4000
    assert len(server.refunds()) == 4
