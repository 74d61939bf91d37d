"""An approval holds for the target as people saw it, and for persons as their accounts are linked now."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing

import pytest

from contracts.approval import ApprovalView
from contracts.base import JsonObject
from contracts.outcome import Outcome
from contracts.vote import VoteAccepted, VoteRefusal, VoteRefused
from incidents.history import fetch_history
from incidents.tell import tell
from store.accounts import NewAccount, add_account, link_account
from store.approvals import StoredRequest, find_request
from tests.installation import TENANT, Installation
from tests.operating import Handle, soon
from workflows.agent_run import AgentRun

pytestmark = pytest.mark.req("A3", "A4")
TICKET: JsonObject = {"ticket_id": "TIC-2006"}


async def asked_again(installation: Installation, handle: Handle, before: Sequence[StoredRequest]) -> StoredRequest:
    """The request that takes the place of others."""

    async def look() -> StoredRequest | None:
        found = (await handle.query(AgentRun.snapshot)).open_requests
        if not found or found[0] in {one.request_id for one in before}:
            return None
        async with installation.db.tenant(TENANT) as cursor:
            return await find_request(cursor, TENANT, found[0])

    return await soon(look, "nobody was asked again")


def touch(installation: Installation, order_id: str) -> None:
    """Somebody else changes the order in the system of record."""
    with closing(sqlite3.connect(installation.backoffice.folder / "backoffice.sqlite3", timeout=20)) as books, books:
        changed = books.execute(
            "update orders set version = version + 1 where tenant = ? and order_id = ?", (TENANT, order_id)
        )
        assert changed.rowcount == 1


async def why_void(installation: Installation, handle: Handle) -> list[str]:
    story = tell(await fetch_history(installation.client, handle.id))
    return [visit.message for step in story.steps for call in step.calls for visit in call.visits if visit.message]


async def test_a_target_that_changed_voids_the_approval_and_people_are_asked_about_it_as_it_is(
    installation: Installation,
) -> None:
    handle = await installation.start(TICKET)
    first = await installation.open_request(handle)
    view = ApprovalView.model_validate_json(first.view)
    assert view.resource_version
    touch(installation, str(view.arguments["order_id"]))
    assert isinstance(await installation.vote(handle, first, "lena"), VoteAccepted)
    again = await asked_again(installation, handle, [first])
    assert installation.refunds() == []
    assert ApprovalView.model_validate_json(again.view).resource_version != view.resource_version
    assert any("what it acts on changed" in said for said in await why_void(installation, handle))
    assert isinstance(await installation.vote(handle, again, "lena"), VoteAccepted)
    assert (await handle.result()).outcome is Outcome.COMPLETED
    assert len(installation.refunds()) == 1


async def test_another_account_of_the_represented_user_decides_nothing(installation: Installation) -> None:
    async with installation.db.tenant(TENANT) as cursor:
        assert await link_account(cursor, TENANT, "lena", "p-17")
        assert await link_account(cursor, TENANT, "fay", "P-17")
    handle = await installation.start(TICKET, on_behalf_of="lena")
    request = await installation.open_request(handle)
    assert {"lena", "p-17"} <= set(request.interested)
    answer = await installation.vote(handle, request, "fay", same_person_as="P-17", groups=("support-leads",))
    assert answer == VoteRefused(refusal=VoteRefusal.INTERESTED_PARTY)
    assert installation.refunds() == []


async def test_accounts_that_turn_out_to_be_one_persons_are_one_vote_at_the_gate(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": "TIC-2002"})
    first = await installation.open_request(handle)
    assert isinstance(await installation.vote(handle, first, "fay"), VoteAccepted)
    async with installation.db.tenant(TENANT) as cursor:
        assert await link_account(cursor, TENANT, "fay", "finn")
    assert isinstance(await installation.vote(handle, first, "finn"), VoteAccepted)
    await asked_again(installation, handle, [first])
    assert installation.refunds() == []
    assert any("does not count any more" in said for said in await why_void(installation, handle))


async def test_who_turns_out_to_be_of_the_group_that_owns_the_agent_has_no_vote_at_the_gate(
    installation: Installation,
) -> None:
    handle = await installation.start({"ticket_id": "TIC-2002"})
    first = await installation.open_request(handle)
    assert "payments-oncall" in first.interested
    assert isinstance(await installation.vote(handle, first, "fay"), VoteAccepted)
    async with installation.db.tenant(TENANT) as cursor:
        account = NewAccount(
            tenant=TENANT, username="fay-oncall", person="fay", display_name="Fay", groups=("payments-oncall",)
        )
        assert await add_account(cursor, account, "correct horse battery")
    assert isinstance(await installation.vote(handle, first, "finn"), VoteAccepted)
    await asked_again(installation, handle, [first])
    assert installation.refunds() == []
    assert any("does not count any more: interested_party" in said for said in await why_void(installation, handle))
