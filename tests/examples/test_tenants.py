"""Nobody sees or changes anything of another tenant, and cannot even tell that it exists."""

from typing import Any

import pytest

from tests.examples.caller import REFUND, Caller, new_key
from tests.examples.server import Server

pytestmark = pytest.mark.req("T8")

READS: list[tuple[str, str, dict[str, Any]]] = [
    ("/tickets/{}", "tickets:read", {"ticket_id": "TIC-2001"}),
    ("/orders/{}", "orders:read", {"order_id": "ORD-1001"}),
    ("/orders/{}/refunds", "refunds:read", {"order_id": "ORD-1006"}),
    ("/refunds/{}", "refunds:read", {"refund_id": "RF-9001"}),
    ("/customers/{}", "customers:read", {"customer_id": "CUS-301"}),
]

WRITES: list[tuple[str, str, dict[str, Any]]] = [
    ("/refunds", "refunds:write", dict(REFUND)),
    ("/refunds/RF-9001/reversal", "refunds:write", {"refund_id": "RF-9001", "reason": "x"}),
    ("/tickets/TIC-2001/drafts", "tickets:write", {"ticket_id": "TIC-2001", "text": "x"}),
    ("/tickets/TIC-2001/status", "tickets:write", {"ticket_id": "TIC-2001", "status": "solved"}),
]


@pytest.mark.parametrize(("path", "scope", "arguments"), READS)
def test_foreign_record_reads_like_an_unknown_one(
    caller: Caller, path: str, scope: str, arguments: dict[str, Any]
) -> None:
    [(name, foreign)] = arguments.items()
    answers = [
        caller.read(path.format(record), scope, {name: record}, tenant="globex") for record in (foreign, "NO-SUCH")
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].text.replace(foreign, "NO-SUCH") == answers[1].text
    assert caller.read(path.format(foreign), scope, arguments).is_success


@pytest.mark.parametrize(("path", "scope", "body"), WRITES)
def test_foreign_record_cannot_be_changed(
    server: Server, caller: Caller, path: str, scope: str, body: dict[str, Any]
) -> None:
    before = server.books("acme")
    answer = caller.write(path, scope, body, tenant="globex")
    assert answer.status_code == 404
    assert server.books("acme") == before
    assert server.books("globex")["effects"] == []


def test_foreign_draft_cannot_be_sent(server: Server, caller: Caller) -> None:
    draft = caller.write("/tickets/TIC-2001/drafts", "tickets:write", {"ticket_id": "TIC-2001", "text": "x"}).json()
    body = {"ticket_id": "TIC-2001", "draft_id": draft["draft_id"]}
    answer = caller.write("/tickets/TIC-2001/replies", "tickets:send", body, tenant="globex")
    assert answer.status_code == 404
    assert [each["status"] for each in server.books("acme")["drafts"]] == ["draft"]


def test_foreign_key_probes_like_an_unknown_one(caller: Caller) -> None:
    key = new_key()
    caller.refund(key=key)
    assert caller.effect(key, tenant="globex").status_code == 404
    assert caller.effect(key).status_code == 200
