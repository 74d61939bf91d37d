"""Seeded faults: one thing is wrong, the page shows it, and nothing else was touched."""

import json

import pytest

from contracts.approval import ApprovalView
from contracts.canonical import run_id_for
from policy.decoys import FAULTS, Fault, foreign_customer, outsiders_word, seed_fault, tenfold, wrong_target
from tests.approvals.scene import refund_view

pytestmark = pytest.mark.req("A11")
BOUND = {"arguments", "provenance", "resource_id", "money_minor", "after", "evidence", "model_reason"}


def a_view(name: str = "1", **changes: object) -> ApprovalView:
    view = refund_view(run_id_for("acme", "tests", name), **changes)
    ticket, order = view.evidence
    order = order.model_copy(update={"output": {**order.output, "customer_id": ticket.output["customer_id"]}})
    return view.model_copy(update={"evidence": (ticket, order)})


OTHER = a_view("2", resource_id="ord_9009")


def made(make: object, view: ApprovalView | None = None) -> Fault:
    assert callable(make)
    found = make(view or a_view(), [OTHER])
    assert isinstance(found, Fault)
    return found


def evidence_of(view: ApprovalView) -> str:
    return json.dumps([item.output for item in view.evidence])


@pytest.mark.parametrize("make", FAULTS)
def test_a_fault_leaves_everything_else_as_it_was(make: object) -> None:
    before, after = a_view(), made(make).view
    changed = {name for name in ApprovalView.model_fields if getattr(before, name) != getattr(after, name)}
    assert changed
    assert changed <= BOUND
    assert ApprovalView.model_validate(after.model_dump()) == after
    assert after.requirement == before.requirement


def test_the_wrong_target_is_a_strangers_that_no_record_of_the_run_has() -> None:
    fault = made(wrong_target)
    assert fault.view.resource_id == fault.view.arguments["order_id"] == "ord_9009"
    assert fault.view.provenance["order_id"]["label"] == "model"
    assert "ord_9009" not in evidence_of(fault.view)
    assert "ord_2002" in evidence_of(fault.view)
    assert "ord_9009" in fault.tell


def test_without_a_stranger_the_identifier_is_turned() -> None:
    fault = wrong_target(a_view(), [])
    assert fault is not None
    assert fault.view.resource_id not in ("ord_2002", "")
    assert len(fault.view.resource_id) == len("ord_2002")


def test_ten_times_the_amount_stands_against_the_records() -> None:
    fault = made(tenfold)
    assert fault.view.money_minor == fault.view.arguments["amount_minor"] == 480_000
    assert fault.view.after == {**(a_view().after or {}), "refunded_minor": 480_000}
    assert "480000" not in evidence_of(fault.view)


def test_an_outsiders_word_stands_against_the_record() -> None:
    fault = made(outsiders_word)
    ticket, order = fault.view.evidence
    trace = fault.view.provenance["order_id"]
    assert (trace["label"], trace["source"], trace["path"]) == ("untrusted", "crm.read_ticket#2", "body")
    assert str(fault.view.arguments["order_id"]) in str(ticket.output["body"])
    assert order.output["order_id"] != fault.view.arguments["order_id"]


def test_a_foreign_customers_record_is_among_the_evidence() -> None:
    fault = made(foreign_customer)
    ticket, order = fault.view.evidence
    assert ticket.output["customer_id"] != order.output["customer_id"]
    assert fault.view.arguments == a_view().arguments


def test_what_could_not_be_found_on_the_page_is_no_fault() -> None:
    bare = a_view().model_copy(update={"evidence": ()})
    assert [make(bare, [OTHER]) for make in FAULTS] == [None] * len(FAULTS)
    assert seed_fault(bare, [OTHER], 0.5) is None


def test_the_pick_chooses_among_those_that_fit() -> None:
    names = {fault.name for tenth in range(10) if (fault := seed_fault(a_view(), [OTHER], tenth / 10))}
    assert names == {"wrong_target", "tenfold", "outsiders_word", "foreign_customer"}
