"""The refund agent's tools against the real back office: probe, preview, undo, and what never reaches the model."""

import json

import pytest

from contracts.base import JsonObject
from contracts.tool import Ambiguous, Rejected
from tests.agents.desk import RUN, Desk
from tests.examples.server import Server

KEY = f"{RUN}/3/0"
REFUND: JsonObject = {
    "order_id": "ORD-1001",
    "amount_minor": 2490,
    "currency": "EUR",
    "reason_code": "damaged_item",
    "ticket_id": "TIC-2001",
}


async def run(desk: Desk, name: str, arguments: JsonObject, key: str = KEY) -> JsonObject:
    tool = desk.agent.tools[name]
    context = desk.context(name, arguments, key, may_write=True)
    output = await tool.function(tool.args_model.model_validate(arguments), context)
    return output.model_dump(mode="json")


async def probe(desk: Desk, name: str, arguments: JsonObject, key: str = KEY) -> tuple[str, JsonObject | None]:
    tool = desk.agent.tools[name]
    assert tool.probe
    context = desk.context(name, arguments, None, may_write=False)
    found = await tool.probe(tool.args_model.model_validate(arguments), context, key)
    return found.state, found.output


async def test_probe_tells_done_with_the_tools_own_output(desk: Desk) -> None:
    output = await run(desk, "payments.issue_refund", REFUND)
    assert await probe(desk, "payments.issue_refund", REFUND) == ("done", output)


async def test_probe_tells_a_key_that_was_never_seen(desk: Desk) -> None:
    assert await probe(desk, "payments.issue_refund", REFUND) == ("absent", None)


async def test_probe_of_a_stored_refusal_is_no_effect(desk: Desk, backoffice: Server) -> None:
    too_much: JsonObject = {**REFUND, "amount_minor": 999_999}
    with pytest.raises(Rejected) as refusal:
        await run(desk, "payments.issue_refund", too_much)
    assert await probe(desk, "payments.issue_refund", too_much) == ("absent", None)
    assert refusal.value.code == "refund_exceeds_remaining"
    assert backoffice.refunds() == []


async def test_lost_answer_is_ambiguous_and_the_probe_finds_the_refund(desk: Desk, backoffice: Server) -> None:
    backoffice.plan_fault("status_500_after")
    with pytest.raises(Ambiguous):
        await run(desk, "payments.issue_refund", REFUND)
    state, output = await probe(desk, "payments.issue_refund", REFUND)
    assert state == "done"
    assert output
    assert output["amount_minor"] == 2490
    assert await run(desk, "payments.issue_refund", REFUND) == output
    assert len(backoffice.refunds()) == 1


async def test_preview_shows_the_money_before_and_after(desk: Desk) -> None:
    tool = desk.agent.tools["payments.issue_refund"]
    assert tool.preview
    arguments: JsonObject = {**REFUND, "amount_minor": 1000}
    context = desk.context(tool.name, arguments, None, may_write=False)
    first = await tool.preview(tool.args_model.model_validate(arguments), context)
    assert (first.before["refundable_minor"], first.after["refundable_minor"]) == (4270, 3270)
    assert first.after["destination"] == "DE89370400440532013000"
    await run(desk, "payments.issue_refund", arguments)
    second = await tool.preview(tool.args_model.model_validate(arguments), context)
    assert second.resource_version != first.resource_version


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"amount_minor": 999_999}, "refund_exceeds_remaining"), ({"currency": "SEK"}, "currency_mismatch")],
)
async def test_preview_refuses_what_the_back_office_would_refuse(desk: Desk, changes: JsonObject, code: str) -> None:
    tool = desk.agent.tools["payments.issue_refund"]
    assert tool.preview
    arguments = {**REFUND, **changes}
    with pytest.raises(Rejected) as refusal:
        await tool.preview(
            tool.args_model.model_validate(arguments), desk.context(tool.name, arguments, None, may_write=False)
        )
    assert refusal.value.code == code


async def test_each_write_that_the_model_can_make_is_undone_by_its_compensation(desk: Desk, backoffice: Server) -> None:
    refund = await run(desk, "payments.issue_refund", REFUND, f"{RUN}/1/0")
    undone: JsonObject = {"refund_id": refund["refund_id"], "reason": "made in error"}
    assert (await run(desk, "payments.reverse_refund", undone, f"{RUN}/2/0"))["status"] == "reversed"
    draft = await run(desk, "tickets.reply_draft", {"ticket_id": "TIC-2001", "text": "Hello"}, f"{RUN}/3/0")
    discard: JsonObject = {"ticket_id": "TIC-2001", "draft_id": draft["draft_id"]}
    assert (await run(desk, "tickets.discard_draft", discard, f"{RUN}/4/0"))["status"] == "discarded"
    done = await run(desk, "tickets.set_status", {"ticket_id": "TIC-2001", "status": "solved"}, f"{RUN}/5/0")
    back: JsonObject = {
        "ticket_id": "TIC-2001", "status": "open", "expected_status": "solved", "undoes_version": done["version"],
    }  # fmt: skip
    restored = await run(desk, "tickets.restore_status", back, f"{RUN}/6/0")
    assert (restored["previous_status"], restored["status"]) == ("solved", "open")
    with pytest.raises(Rejected, match="somebody decided anew"):
        await run(desk, "tickets.restore_status", back, f"{RUN}/7/0")
    assert [row["status"] for row in backoffice.books()["refunds"] if row["run"] != "seed"] == ["reversed"]


async def test_names_addresses_and_accounts_never_reach_the_model(desk: Desk, backoffice: Server) -> None:
    await desk.work("TIC-2001")
    told = json.dumps([message.model_dump(mode="json") for message in desk.messages if message.role == "tool"])
    assert "TIC-2001" in told
    assert "example.org" not in told
    assert "DE89370400440532013000" not in told
