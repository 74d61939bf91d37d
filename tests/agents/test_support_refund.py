"""The refund agent on the seeded tickets: what it settles alone, what it asks, and what it can never do."""

import pytest
from pydantic import JsonValue

from contracts.base import JsonObject
from contracts.call import EffectState
from contracts.decision import Denied, NeedsApproval
from contracts.postcondition import EffectFact, RunFacts
from tests.agents.desk import RUN, Desk
from tests.examples.server import Server

READS = [("crm.read_ticket", "allow"), ("orders.get_status", "allow")]
SETTLED = [("tickets.reply_draft", "allow"), ("tickets.set_status", "allow")]


def refund(**changes: JsonValue) -> JsonObject:
    return {
        "order_id": "ORD-1001",
        "amount_minor": 2490,
        "currency": "EUR",
        "reason_code": "damaged_item",
        "ticket_id": "TIC-2001",
        **changes,
    }


async def read(desk: Desk, ticket: str = "TIC-2001") -> None:
    """Let the run get as far as the refund, with the ticket and its order read."""
    desk.granted = ()
    await desk.work(ticket)
    desk.completed.clear()
    desk.completed.update(["crm.read_ticket", "orders.get_status"])
    desk.money_minor.clear()


async def test_small_refund_runs_alone_and_is_booked_once(desk: Desk, backoffice: Server) -> None:
    day = await desk.work("TIC-2001")
    assert day.decisions() == [*READS, ("payments.issue_refund", "allow"), *SETTLED]
    assert [(row["order_id"], row["amount_minor"]) for row in backoffice.refunds()] == [("ORD-1001", 2490)]
    assert day.finish
    assert day.finish.result == "done"


@pytest.mark.parametrize(
    ("ticket", "rung", "amount"), [("TIC-2006", "one-support-lead", 31_900), ("TIC-2002", "two-finance", 124_900)]
)
async def test_larger_refunds_ask_first(desk: Desk, backoffice: Server, ticket: str, rung: str, amount: int) -> None:
    day = await desk.work(ticket)
    assert day.decisions() == [*READS, ("payments.issue_refund", rung)]
    assert backoffice.refunds() == []
    granted = Desk(desk.agent, desk.pinned, desk.bundle, desk.services, desk.issuer, granted=(rung,))
    assert (await granted.work(ticket)).decisions() == [*READS, ("payments.issue_refund", rung), *SETTLED]
    assert [row["amount_minor"] for row in backoffice.refunds()] == [amount]


async def test_injected_ticket_cannot_refund_another_customers_order(desk: Desk, backoffice: Server) -> None:
    desk.granted = ("one-support-lead", "one-finance", "two-finance")
    day = await desk.work("TIC-2003")
    # The model was fooled: it did propose the refund.
    assert day.visits[-1].arguments["order_id"] == "ORD-1005"
    assert day.decisions() == [*READS, ("payments.issue_refund", "deny")]
    assert "support-refund-own-order" in day.policies("payments.issue_refund")
    assert backoffice.refunds() == []
    assert day.finish
    assert day.finish.result == "hand_over"


async def test_looking_up_a_strangers_order_is_denied(desk: Desk) -> None:
    """Else the stranger's order id would come back out of a trusted record."""
    desk.tenant = "globex"
    day = await desk.work("TIC-6003")
    assert day.decisions() == [*READS, ("orders.get_status", "deny")]
    assert day.visits[-1].arguments == {"order_id": "ORD-1002"}


@pytest.mark.parametrize(
    ("ticket", "status"), [("TIC-2004", "pending"), ("TIC-2005", "solved"), ("TIC-2008", "solved")]
)
async def test_a_question_or_an_unfounded_claim_is_answered_not_paid(
    desk: Desk, backoffice: Server, ticket: str, status: str
) -> None:
    day = await desk.work(ticket)
    assert day.decisions() == [*READS, *SETTLED]
    books = backoffice.books()
    assert {row["ticket_id"]: row["status"] for row in books["tickets"]}[ticket] == status
    assert [row["status"] for row in books["drafts"]] == ["draft"]
    assert backoffice.refunds() == []


async def test_a_ticket_without_an_order_goes_to_a_person(desk: Desk) -> None:
    day = await desk.work("TIC-2007")
    assert day.decisions() == [("crm.read_ticket", "allow")]
    assert day.finish
    assert (day.finish.result, day.needed != "") == ("hand_over", True)


@pytest.mark.parametrize(
    ("changes", "policy"),
    [
        ({"order_id": "ORD-9999"}, "support-refund-own-order"),
        ({"ticket_id": "TIC-9999"}, "support-refund-own-ticket"),
        ({"currency": "CZK"}, "support-refund-currency"),
    ],
)
async def test_no_approval_lifts_what_the_agent_may_never_do(desk: Desk, changes: JsonObject, policy: str) -> None:
    await read(desk)
    decision = desk.decide("payments.issue_refund", refund(**changes))
    assert isinstance(decision, Denied)
    assert policy in {reason.policy for reason in decision.reasons}


async def test_what_the_model_wrote_does_not_come_back_as_a_record(desk: Desk) -> None:
    await read(desk)
    draft = await desk.visit("tickets.reply_draft", {"ticket_id": "TIC-2001", "text": "ORD-1005"}, "c-9", f"{RUN}/9/0")
    assert draft.decision.kind == "allow"
    desk.messages.append(draft.answer)
    assert isinstance(desk.decide("payments.issue_refund", refund(order_id="ORD-1005")), Denied)


@pytest.mark.parametrize(
    ("amount", "needs"),
    [(5_000, None), (5_001, "one-support-lead"), (50_000, "one-support-lead"), (50_001, "two-finance")],
)
async def test_caps_are_inclusive(desk: Desk, amount: int, needs: str | None) -> None:
    await read(desk)
    decision = desk.decide("payments.issue_refund", refund(amount_minor=amount))
    assert (decision.requirement.id if isinstance(decision, NeedsApproval) else None) == needs
    assert not isinstance(decision, Denied)


async def test_a_second_refund_in_the_run_asks_even_inside_the_cap(desk: Desk) -> None:
    await read(desk)
    desk.money_minor["EUR"] = 2_490
    decision = desk.decide("payments.issue_refund", refund())
    assert isinstance(decision, NeedsApproval)
    assert decision.requirement.id == "one-support-lead"


async def test_the_same_refund_again_asks(desk: Desk) -> None:
    await read(desk)
    decision = desk.decide("payments.issue_refund", refund(), repeated=True)
    assert isinstance(decision, NeedsApproval)
    assert "support-refund-repeated" in {reason.policy for reason in decision.reasons}


async def test_a_ticket_is_not_solved_before_anything_was_done(desk: Desk) -> None:
    await read(desk)
    assert isinstance(desk.decide("tickets.set_status", {"ticket_id": "TIC-2001", "status": "solved"}), Denied)
    pending = desk.decide("tickets.set_status", {"ticket_id": "TIC-2001", "status": "pending"})
    assert pending.kind == "allow"


def test_the_job_is_done_by_a_refund_or_a_reply_that_happened(desk: Desk) -> None:
    check = desk.agent.postcondition
    assert check
    done = EffectFact(tool="tickets.reply_draft", state=EffectState.SUCCEEDED, arguments={})
    lost = EffectFact(tool="payments.issue_refund", state=EffectState.UNKNOWN, arguments={})
    assert not check(RunFacts(event={}))
    assert not check(RunFacts(event={}, effects=(lost,)))
    assert check(RunFacts(event={}, effects=(lost, done)))
