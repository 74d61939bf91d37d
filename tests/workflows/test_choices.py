"""What an approver can do besides approving and denying, in whole runs: edit the call, ask the model, take over."""

import json
import secrets
from typing import cast

import pytest
from temporalio.client import WorkflowHandle

from cli.timeline import timeline
from contracts.approval import ApprovalView
from contracts.base import JsonObject
from contracts.outcome import Outcome, OutcomeReason, RunReport
from contracts.vote import Verdict, VoteAccepted, VoteRefusal, VoteRefused
from incidents.history import fetch_history
from incidents.replay import Same, replay
from incidents.tell import tell
from store.approvals import StoredRequest, find_request
from store.effects import list_effects
from store.runs import load_transcript
from tests.approvals.conftest import csrf_of, hidden_in, office_at, sign_in
from tests.approvals.scene import Person
from tests.installation import PASSWORD, TENANT, Installation
from tests.operating import soon
from workflows.agent_run import AgentRun

pytestmark = pytest.mark.req("A5")
LARGE, HUGE = "TIC-2006", "TIC-2002"
Handle = WorkflowHandle[AgentRun, RunReport]


def view_of(request: StoredRequest) -> ApprovalView:
    return ApprovalView.model_validate_json(request.view)


def with_changes(request: StoredRequest, **changes: object) -> JsonObject:
    return cast("JsonObject", {**view_of(request).arguments, **changes})


async def next_request(installation: Installation, handle: Handle, before: StoredRequest) -> StoredRequest:
    """The request that takes the place of another."""

    async def look() -> StoredRequest | None:
        found = (await handle.query(AgentRun.snapshot)).open_requests
        if not found or found[0] == before.request_id:
            return None
        async with installation.db.tenant(TENANT) as cursor:
            return await find_request(cursor, TENANT, found[0])

    return await soon(look, "no other request was opened")


async def edit(
    installation: Installation, handle: Handle, request: StoredRequest, person: str, **changes: object
) -> StoredRequest:
    """Edit a request; the one that follows."""
    answer = await installation.vote(
        handle,
        request,
        person,
        verdict=Verdict.EDIT,
        reason="Only the lamp broke",
        arguments=with_changes(request, **changes),
    )
    assert isinstance(answer, VoteAccepted)
    return await next_request(installation, handle, request)


async def told(installation: Installation, handle: Handle, tool: str) -> JsonObject:
    """The newest message with which a call of the tool was answered."""
    rows = await load_transcript(installation.db, TENANT, handle.id)
    contents = [cast("JsonObject", row["content"]) for row in rows]
    return next(content for content in reversed(contents) if content.get("tool") == tool)


async def test_an_edited_refund_is_asked_anew_and_runs_as_edited(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": LARGE})
    first = await installation.open_request(handle)
    second = await edit(installation, handle, first, "lena", amount_minor=20_000)
    assert (second.step, second.call, second.visit) == (first.step, first.call, first.visit + 1)
    assert second.digest != first.digest
    view = view_of(second)
    assert (view.arguments["amount_minor"], view.money_minor) == (20_000, 20_000)
    trace = view.provenance["amount_minor"]
    assert (trace["label"], trace["by"]) == ("person", "Lena")
    assert "by" not in view.provenance["order_id"]
    [earlier] = view.earlier
    assert (earlier.verdict, earlier.display_name, earlier.words) == (Verdict.EDIT, "Lena", "Only the lamp broke")
    [change] = earlier.changes
    assert (change.name, change.before, change.after) == ("amount_minor", view_of(first).money_minor, 20_000)
    async with installation.db.tenant(TENANT) as cursor:
        closed = await find_request(cursor, TENANT, first.request_id)
    assert closed is not None
    assert closed.state == "voided"
    # One approver is enough here, so the editor may approve what they wrote.
    assert isinstance(await installation.vote(handle, second, "lena"), VoteAccepted)
    assert (await handle.result()).outcome is Outcome.COMPLETED
    history = await fetch_history(installation.client, handle.id)
    assert isinstance(await replay(history), Same)
    shown = "\n".join(line.text.plain for line in timeline(tell(history)))
    assert "Lena edits the arguments (lena)  “Only the lamp broke”" in shown
    assert f"edited by a person: amount_minor {change.before} → 20000" in shown
    [refund] = installation.refunds()
    assert (refund["order_id"], refund["amount_minor"]) == ("ORD-1007", 20_000)
    [effect] = [row for row in await list_effects(installation.db, TENANT, handle.id) if row["tool"] == view.tool]
    assert json.loads(str(effect["arguments"]))["amount_minor"] == 20_000
    message = await told(installation, handle, view.tool)
    edited = cast("JsonObject", message["edited"])
    assert (edited["by"], edited["reason"]) == ("Lena", "Only the lamp broke")
    assert json.loads(str(edited["arguments_json"])) == view.arguments


async def test_what_policy_lets_run_alone_runs_at_once_when_it_is_edited_so(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": LARGE})
    request = await installation.open_request(handle)
    answer = await installation.vote(
        handle, request, "lena", verdict=Verdict.EDIT, reason="A small gesture is enough",
        arguments=with_changes(request, amount_minor=1_000),
    )  # fmt: skip
    assert isinstance(answer, VoteAccepted)
    assert (await handle.result()).outcome is Outcome.COMPLETED
    assert [refund["amount_minor"] for refund in installation.refunds()] == [1_000]


async def test_an_edit_passes_no_wall_of_policy(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": LARGE})
    request = await installation.open_request(handle)
    await installation.vote(
        handle, request, "lena", verdict=Verdict.EDIT, reason="It belongs to this order",
        arguments=with_changes(request, order_id="ORD-1002"),
    )  # fmt: skip
    report = await handle.result()
    assert report.outcome is Outcome.ESCALATED
    assert installation.refunds() == []
    message = await told(installation, handle, "payments.issue_refund")
    assert "support-refund-own-order" in str(message["text"])
    assert cast("JsonObject", message["edited"])["by"] == "Lena"


async def test_an_edit_that_raises_the_bar_asks_more_people_and_not_its_author(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": HUGE})
    first = await installation.open_request(handle)
    amount = view_of(first).money_minor or 0
    second = await edit(installation, handle, first, "fay", amount_minor=amount - 100)
    assert second.requirement.persons == 2
    assert await installation.vote(handle, second, "fay") == VoteRefused(refusal=VoteRefusal.CO_AUTHOR)
    # Who wrote it may still take it back.
    denied = await installation.vote(handle, second, "fay", verdict=Verdict.DENY, reason="I was wrong")
    assert isinstance(denied, VoteAccepted)
    assert (await handle.result()).outcome is Outcome.ESCALATED
    assert installation.refunds() == []


async def test_an_edit_that_the_tool_cannot_take_changes_nothing_and_says_why(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": LARGE})
    first = await installation.open_request(handle)
    second = await edit(installation, handle, first, "lena", amount_minor=-5)
    assert view_of(second).arguments == view_of(first).arguments
    [earlier] = view_of(second).earlier
    assert "amount_minor" in earlier.problem
    assert earlier.changes == ()
    assert isinstance(await installation.vote(handle, second, "lena"), VoteAccepted)
    assert (await handle.result()).outcome is Outcome.COMPLETED
    assert "edited" not in await told(installation, handle, "payments.issue_refund")


@pytest.mark.long  # the bound itself is held without a run
async def test_a_call_is_edited_a_few_times_at_most(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": LARGE})
    request = await installation.open_request(handle)
    for amount in range(20_000, 20_500, 100):
        request = await edit(installation, handle, request, "lena", amount_minor=amount)
    once_more = await installation.vote(
        handle,
        request,
        "lena",
        verdict=Verdict.EDIT,
        reason="Once more",
        arguments=with_changes(request, amount_minor=1),
    )
    assert once_more == VoteRefused(refusal=VoteRefusal.NOT_OFFERED)
    assert [one.verdict for one in view_of(request).earlier] == [Verdict.EDIT] * 5
    assert isinstance(await installation.vote(handle, request, "lena"), VoteAccepted)
    await handle.result()
    assert [refund["amount_minor"] for refund in installation.refunds()] == [20_400]


async def test_arguments_that_the_approver_did_not_sign_are_not_used(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": LARGE})
    first = await installation.open_request(handle)
    arguments = with_changes(first, amount_minor=20_000)
    vote, signed, _ = await installation.cast(
        handle, first, "lena", verdict=Verdict.EDIT, reason="Only the lamp broke", arguments=arguments
    )
    async with installation.db.tenant(TENANT) as cursor:
        forged = json.dumps({**arguments, "amount_minor": 31_000})
        await cursor.execute("update votes set edited = %s where decision_id = %s", (forged, vote.decision_id))
    assert isinstance(await installation.signal(handle, signed, vote.decision_id), VoteAccepted)
    second = await next_request(installation, handle, first)
    assert view_of(second).arguments == view_of(first).arguments
    assert "not those that the approver signed" in view_of(second).earlier[0].problem
    await handle.cancel()
    await handle.result()


async def test_a_question_reaches_the_model_and_its_answer_the_approver(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": LARGE})
    first = await installation.open_request(handle)
    question = 'Is this the price of one, or of all? {"error": "x"}'
    answer = await installation.vote(handle, first, "lena", verdict=Verdict.ASK, reason=question)
    assert isinstance(answer, VoteAccepted)
    second = await next_request(installation, handle, first)
    assert second.step > first.step
    [earlier] = view_of(second).earlier
    assert (earlier.verdict, earlier.words, earlier.step) == (Verdict.ASK, question, first.step)
    assert "as the order states it" in earlier.answer
    message = await told(installation, handle, "payments.issue_refund")
    assert message["is_error"]
    assert f'An approver, Lena, asks: "{question}"' in json.loads(str(message["text"]))["error"]
    assert installation.refunds() == []
    assert isinstance(await installation.vote(handle, second, "lena"), VoteAccepted)
    assert (await handle.result()).outcome is Outcome.COMPLETED
    assert len(installation.refunds()) == 1


async def test_a_person_takes_a_call_over_and_the_run_ends_with_a_packet(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": LARGE})
    request = await installation.open_request(handle)
    answer = await installation.vote(handle, request, "lena", verdict=Verdict.HAND_OVER, reason="I know this customer")
    assert isinstance(answer, VoteAccepted)
    report = await handle.result()
    assert (report.outcome, report.reason) == (Outcome.ESCALATED, OutcomeReason.TAKEN_OVER)
    assert report.content.packet is not None
    assert "lena: I know this customer" in report.content.packet.why
    assert installation.refunds() == []


async def test_from_the_form_to_the_run_and_to_the_request_that_follows(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": LARGE})
    first = await installation.open_request(handle)
    (installation.settings.state_dir / "keys" / "session.secret").write_text(secrets.token_hex(32))
    async with office_at(installation.settings) as office, office.visitor() as client:
        await sign_in(client, Person("lena", ()), PASSWORD)
        arguments = {f"argument.{name}": str(value) for name, value in view_of(first).arguments.items()}
        form = {
            **arguments, "argument.amount_minor": "200.00", "csrf": await csrf_of(client), "digest": first.digest,
            "reason": "Only the lamp broke",
        }  # fmt: skip
        shown = await client.post(f"/requests/{first.request_id}/edit", data=form)
        sure = {**form, **hidden_in(shown.text), "sure": "yes"}
        edited = await client.post(f"/requests/{first.request_id}/edit", data=sure)
        assert edited.status_code == 303
        second = await next_request(installation, handle, first)
        assert edited.headers["location"] == f"/requests/{second.request_id}"
        page = (await client.get(edited.headers["location"])).text
        assert "Written by Lena, who approves such calls" in page
        assert "EUR 200.00" in page
        over = (await client.get(f"/requests/{first.request_id}")).text
        assert f'<a href="/requests/{second.request_id}">The changed call is asked here.</a>' in over
        form = {
            **hidden_in(page), "digest": second.digest, "verdict": "hand_over", "reason": "I pay it myself",
        }  # fmt: skip
        assert (await client.post(f"/requests/{second.request_id}/decision", data=form)).status_code == 303
        report = await handle.result()
        assert report.reason is OutcomeReason.TAKEN_OVER
        assert "Taken over." in (await client.get(f"/requests/{second.request_id}")).text
        assert "lena: I pay it myself" in (await client.get(f"/runs/{handle.id}")).text
