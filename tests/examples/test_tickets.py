"""Tickets, drafts and replies: a draft can be discarded, a sent reply cannot, and each change raises the version."""

import pytest

from tests.examples.caller import Caller
from tests.examples.server import Server


def _ticket(caller: Caller, ticket_id: str = "TIC-2001") -> dict[str, object]:
    return dict(caller.read(f"/tickets/{ticket_id}", "tickets:read", {"ticket_id": ticket_id}).json())


def _draft(caller: Caller, text: str = "We are sorry.") -> str:
    body = {"ticket_id": "TIC-2001", "text": text}
    answer = caller.write("/tickets/TIC-2001/drafts", "tickets:write", body)
    assert answer.status_code == 201
    return str(answer.json()["draft_id"])


def test_ticket_shows_who_wrote_it_about_which_order(caller: Caller) -> None:
    ticket = _ticket(caller)
    assert (ticket["customer_id"], ticket["order_id"], ticket["status"]) == ("CUS-301", "ORD-1001", "open")
    customer = caller.read("/customers/CUS-301", "customers:read", {"customer_id": "CUS-301"}).json()
    assert customer["order_ids"] == ["ORD-1001", "ORD-1007"]
    assert customer["ticket_ids"] == ["TIC-2001", "TIC-2006"]


def test_draft_is_kept_then_sent_once_to_the_tickets_customer(server: Server, caller: Caller) -> None:
    draft_id = _draft(caller)
    assert [draft["status"] for draft in server.books()["drafts"]] == ["draft"]
    body = {"ticket_id": "TIC-2001", "draft_id": draft_id}
    sent = caller.write("/tickets/TIC-2001/replies", "tickets:send", body)
    assert (sent.status_code, sent.json()["status"]) == (201, "sent")
    assert sent.json()["to"] == "maren.lindqvist@example.org"
    again = caller.write("/tickets/TIC-2001/replies", "tickets:send", body)
    assert (again.status_code, again.json()["code"]) == (409, "draft_not_sendable")
    late = caller.write(f"/tickets/TIC-2001/drafts/{draft_id}/discard", "tickets:write", body)
    assert (late.status_code, late.json()["code"]) == (409, "draft_not_discardable")
    assert (_ticket(caller)["version"], _ticket(caller)["drafts"]) == (3, [sent.json()])


def test_sending_needs_a_scope_of_its_own(server: Server, caller: Caller) -> None:
    body = {"ticket_id": "TIC-2001", "draft_id": _draft(caller)}
    answer = caller.write("/tickets/TIC-2001/replies", "tickets:write", body)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert [draft["status"] for draft in server.books()["drafts"]] == ["draft"]


def test_discarded_draft_cannot_be_sent(caller: Caller) -> None:
    body = {"ticket_id": "TIC-2001", "draft_id": _draft(caller)}
    discard = caller.write(f"/tickets/TIC-2001/drafts/{body['draft_id']}/discard", "tickets:write", body)
    assert (discard.status_code, discard.json()["status"]) == (200, "discarded")
    sent = caller.write("/tickets/TIC-2001/replies", "tickets:send", body)
    assert (sent.status_code, sent.json()["code"]) == (409, "draft_not_sendable")


def test_draft_of_another_ticket_is_not_found(caller: Caller) -> None:
    body = {"ticket_id": "TIC-2002", "draft_id": _draft(caller)}
    answer = caller.write("/tickets/TIC-2002/replies", "tickets:send", body)
    assert (answer.status_code, answer.json()["code"]) == (404, "draft_not_found")


def test_status_change_tells_the_previous_one_so_that_it_can_be_undone(caller: Caller) -> None:
    path = "/tickets/TIC-2001/status"
    solved = caller.write(path, "tickets:write", {"ticket_id": "TIC-2001", "status": "solved"}).json()
    assert (solved["status"], solved["previous_status"], solved["version"]) == ("solved", "open", 2)
    undo = {"ticket_id": "TIC-2001", "status": solved["previous_status"]}
    assert caller.write(path, "tickets:write", undo).json()["previous_status"] == "solved"
    assert (_ticket(caller)["status"], _ticket(caller)["version"]) == ("open", 3)


@pytest.mark.parametrize("text", ["", "x" * 8001])
def test_text_has_limits(server: Server, caller: Caller, text: str) -> None:
    body = {"ticket_id": "TIC-2001", "text": text}
    answer = caller.write("/tickets/TIC-2001/drafts", "tickets:write", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "arguments_invalid")
    assert server.books()["drafts"] == []


def test_text_comes_back_as_it_was_sent(server: Server, caller: Caller) -> None:
    unusual = "\N{RIGHT-TO-LEFT OVERRIDE} \N{ZERO WIDTH SPACE} \N{GRINNING FACE}"
    text = f"Grüße, 你好 {unusual} <script> '; DROP TABLE refunds; --"
    _draft(caller, text)
    assert [draft["text"] for draft in server.books()["drafts"]] == [text]
