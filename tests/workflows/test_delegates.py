"""Delegates in whole runs: the gate lets their votes through, and none whose delegation was ended meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts.delegation import Delegation, NewDelegation
from contracts.outcome import Outcome
from contracts.vote import Delegated, VoteAccepted, VoteRefusal, VoteRefused
from store.approvals import StoredRequest
from store.delegations import add_delegation, end_delegation
from store.votes import votes_on
from tests.installation import TENANT, Installation
from tests.operating import Handle, soon

pytestmark = pytest.mark.req("A6", "A4")


async def named(installation: Installation, approver: str, delegate: str) -> Delegation:
    new = NewDelegation(
        approver=approver, delegate=delegate, until_at=datetime.now(UTC) + timedelta(days=7), reason="vacation"
    )
    async with installation.db.tenant(TENANT) as cursor:
        return await add_delegation(cursor, TENANT, new, by=approver)


async def vote_for(
    installation: Installation, handle: Handle, request: StoredRequest, one: Delegation, *groups: str
) -> VoteAccepted | VoteRefused:
    """The delegate's vote, as the form signs it."""
    away = Delegated(
        delegation_id=one.delegation_id, approver=one.approver, person=one.approver, display_name=one.approver.title()
    )
    answer = await installation.vote(handle, request, one.delegate, groups=groups, delegated=away)
    assert isinstance(answer, VoteAccepted | VoteRefused)
    return answer


async def test_a_delegate_approves_in_the_place_of_who_is_away(installation: Installation) -> None:
    made = await named(installation, "lena", "eve")
    handle = await installation.start({"ticket_id": "TIC-2006"})
    request = await installation.open_request(handle)
    assert await vote_for(installation, handle, request, made, "support-leads") == VoteAccepted()
    assert (await handle.result()).outcome is Outcome.COMPLETED
    async with installation.db.tenant(TENANT) as cursor:
        (vote,) = await votes_on(cursor, TENANT, request.request_id)
        await cursor.execute("select body from audit where run_id = %s and kind = 'approval_closed'", (handle.id,))
        (entry,) = await cursor.fetchall()
    assert (vote.person, vote.for_person, vote.delegation_id) == ("eve", "lena", made.delegation_id)
    assert "eve for lena" in entry["body"]
    assert len(installation.refunds()) == 1


async def test_a_delegate_and_who_is_away_are_one_of_two(installation: Installation) -> None:
    made = await named(installation, "fay", "eve")
    handle = await installation.start({"ticket_id": "TIC-2002"})
    request = await installation.open_request(handle)
    assert await vote_for(installation, handle, request, made, "finance") == VoteAccepted()
    assert await installation.vote(handle, request, "fay") == VoteRefused(refusal=VoteRefusal.SAME_PERSON)
    assert installation.refunds() == []
    assert await installation.vote(handle, request, "finn") == VoteAccepted()
    assert (await handle.result()).outcome is Outcome.COMPLETED
    assert len(installation.refunds()) == 1


async def test_a_delegation_that_was_ended_carries_no_unspent_vote(installation: Installation) -> None:
    made = await named(installation, "fay", "eve")
    handle = await installation.start({"ticket_id": "TIC-2002"})
    request = await installation.open_request(handle)
    assert await vote_for(installation, handle, request, made, "finance") == VoteAccepted()
    async with installation.db.tenant(TENANT) as cursor:
        await end_delegation(cursor, TENANT, made.delegation_id, account="fay", person="fay", administers=False)
    assert await installation.vote(handle, request, "finn") == VoteAccepted()

    async def asked_again() -> StoredRequest | None:
        found = await installation.open_request(handle)
        return found if found.request_id != request.request_id else None

    again = await soon(asked_again, "the run did not ask again")
    assert installation.refunds() == []
    assert await installation.vote(handle, again, "fay") == VoteAccepted()
    assert await installation.vote(handle, again, "finn") == VoteAccepted()
    assert (await handle.result()).outcome is Outcome.COMPLETED
    assert len(installation.refunds()) == 1


async def test_a_signed_vote_for_more_than_the_approver_has_stops_at_the_gate(installation: Installation) -> None:
    made = await named(installation, "lena", "eve")
    handle = await installation.start({"ticket_id": "TIC-2002"})
    request = await installation.open_request(handle)
    assert await vote_for(installation, handle, request, made, "finance") == VoteAccepted()
    assert await installation.vote(handle, request, "finn") == VoteAccepted()

    async def asked_again() -> StoredRequest | None:
        found = await installation.open_request(handle)
        return found if found.request_id != request.request_id else None

    await soon(asked_again, "the run did not ask again")
    assert installation.refunds() == []
