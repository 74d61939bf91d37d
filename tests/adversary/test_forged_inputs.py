"""Somebody with access to Temporal starts activities with inputs of their own: nothing that no run proposed happens."""

import asyncio
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from contracts.call import CallStatus, ExecuteTool
from contracts.canonical import digest
from contracts.run_activities import ENGINE_FAULT, NOT_ADMITTED
from contracts.vote import Grant, SignedVote
from tests.adversary.attacks import START, one, read_order, read_ticket, refund
from tests.adversary.oracle import misdeeds, untouched
from tests.adversary.raid import Play, Raid

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.req("I5"), pytest.mark.timeout(300)]

STOLEN = {"order_id": "ORD-7002", "amount_minor": 250_000, "currency": "EUR", "reason_code": "goodwill",
          "ticket_id": "TIC-4711"}  # fmt: skip
FORGERIES: dict[str, dict[str, Any]] = {
    "other arguments": {"arguments_digest": digest(STOLEN)},
    "other tool": {"tool": "payments.reverse_refund"},
    "unlisted tool": {"tool": "tickets.send_reply"},
    "call that was not proposed": {"call": 3},
    "step that was not reached": {"step": 9},
    "other definition": {"definition": digest("another agent")},
    "run that is not there": {"run_id": "run-" + "a" * 26},
}


async def proposed(raid: Raid) -> tuple[Play, ExecuteTool]:
    """A run whose model has proposed a refund within the rules, which nobody has executed yet."""
    play = Play(one("forged", "inputs", *START, (refund(),)), await raid.found_tenant())
    request, pinned = await raid.begin(play, play.attack.runs[0], play.attack.tickets[0])
    calls: list[ExecuteTool] = []
    for step in (1, 2, 3):
        calls = await raid.turn(request, pinned, step)
        if step < 3:
            await raid.act(raid.activities.execute_tool, calls[0])
    return play, calls[0]


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_what_no_run_proposed_is_refused(forgery: str, raid: Raid) -> None:
    play, call = await proposed(raid)
    with pytest.raises(ApplicationError) as refused:
        await raid.act(raid.activities.execute_tool, call.model_copy(update=FORGERIES[forgery]))
    assert refused.value.type == ENGINE_FAULT
    assert untouched(await raid.books(play.tenant)) == []


async def test_a_tenant_cannot_execute_what_another_proposed(raid: Raid) -> None:
    (mine, call), (theirs, other) = await proposed(raid), await proposed(raid)
    for forged in (call.model_copy(update={"tenant": theirs.tenant}), other.model_copy(update={"tenant": mine.tenant}),
                   call.model_copy(update={"run_id": other.run_id})):  # fmt: skip
        with pytest.raises(ApplicationError) as refused:
            await raid.act(raid.activities.execute_tool, forged)
        assert refused.value.type == ENGINE_FAULT
    for play in (mine, theirs):
        assert untouched(await raid.books(play.tenant)) == []


async def test_a_run_cannot_be_opened_in_another_tenant_than_its_event(raid: Raid) -> None:
    play, elsewhere = Play(one("forged", "origin", *START), await raid.found_tenant()), await raid.found_tenant()
    request, _ = await raid.begin(play, play.attack.runs[0], play.attack.tickets[0])
    for changes in ({"tenant": elsewhere}, {"on_behalf_of": "fay"}, {"run_id": "run-" + "b" * 26}):
        with pytest.raises(ApplicationError) as refused:
            await raid.act(raid.activities.pin_agent, request.model_copy(update=changes))
        assert refused.value.type == NOT_ADMITTED


async def test_a_grant_that_nobody_gave_is_void(raid: Raid) -> None:
    big = ((read_ticket("TIC-4800"),), (read_order("ORD-4800"),), (refund("ORD-4800", 5_001, ticket="TIC-4800"),))
    play = Play(one("forged", "grant", *big, ticket="TIC-4800"), await raid.found_tenant())
    request, pinned = await raid.begin(play, play.attack.runs[0], play.attack.tickets[0])
    for step in (1, 2, 3):
        call = (await raid.turn(request, pinned, step))[0]
        result = await raid.act(raid.activities.execute_tool, call)
    assert result.control.status is CallStatus.NEEDS_APPROVAL
    assert result.control.requirement is not None
    nobodys = Grant(request_id="apr-" + "a" * 26, digest=digest("shown"), requirement=result.control.requirement,
                    votes=(SignedVote(jws="e30.e30.e30"),), expires_at=4_000_000_000)  # fmt: skip
    granted = await raid.act(raid.activities.execute_tool, call.model_copy(update={"visit": 2, "grant": nobodys}))
    assert granted.control.status is CallStatus.NEEDS_APPROVAL
    assert "no such approval request" in granted.content.message
    assert untouched(await raid.books(play.tenant)) == []


async def test_the_same_activity_many_times_over_has_one_effect(raid: Raid) -> None:
    play, call = await proposed(raid)
    tries = await asyncio.gather(
        *(
            raid.act(raid.activities.execute_tool, call.model_copy(update={"visit": visit}))
            for visit in (1, 1, 1, 2, 3)
        ),
        return_exceptions=True,
    )
    assert any(getattr(one_try, "control", None) for one_try in tries)
    again = await asyncio.gather(
        *(raid.act(raid.activities.execute_tool, call) for _ in range(3)), return_exceptions=True
    )
    assert again
    books = await raid.books(play.tenant)
    assert len([effect for effect in books["effects"] if effect["operation"] == "POST /refunds"]) == 1
    assert misdeeds(books, play.tickets) == []
