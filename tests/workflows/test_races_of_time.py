"""Decisions that meet the end of a request's time, and a store that stops: one outcome, and everybody is told it."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from contracts.outcome import OutcomeReason, RunReport
from contracts.vote import VoteRefusal
from store.approvals import StoredRequest
from store.votes import StoredVote
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import Installation, installed
from tests.workflows.test_races import ONE_LEAD, browser_of, form_of, office_of, press, settled
from tests.workflows.variants import agents_with

pytestmark = pytest.mark.req("A1", "A4", "A6", "A7")
EXPIRES_S = 4
TOO_LATE = {VoteRefusal.EXPIRED, VoteRefusal.REQUEST_CLOSED}


@pytest.fixture
async def hasty(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> AsyncGenerator[Installation]:  # fmt: skip
    """An installation whose requests expire while one looks."""
    times = {"payments.issue_refund": {"sla_s": 1, "expires_s": EXPIRES_S}}
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0],
        agents_dir=agents_with(tmp_path, approvals=times),
    ) as made:  # fmt: skip
        yield made


async def press_at(client: httpx.AsyncClient, request: StoredRequest, form: dict[str, str], at_s: float) -> int:
    """Press when the clock is there: the race is with that very moment."""
    await asyncio.sleep(max(0.0, at_s - time.time()))
    return await press(client, request, form)


def one_story(report: RunReport, request: StoredRequest, votes: tuple[StoredVote, ...], refunds: int) -> None:
    """The run, its request, the votes and the books agree on whether it was in time."""
    if request.state == "granted":
        assert [vote.state for vote in votes].count("accepted") == 1
        # A grant that ends on its way to the gate buys nothing: people are asked again, and nobody answers.
        assert refunds == (0 if report.reason is OutcomeReason.APPROVAL_EXPIRED else 1)
    else:
        assert (request.state, report.reason, refunds) == ("expired", OutcomeReason.APPROVAL_EXPIRED, 0)
        assert {vote.state for vote in votes} <= {"refused"}
    assert {vote.refusal for vote in votes if vote.state == "refused"} <= TOO_LATE


EARLY_S = {"just before": (-0.3, -0.1, 0.0, 0.2), "on the moment": (-0.02, -0.01, 0.0, 0.01), "after": (0.1,) * 4}


@pytest.mark.parametrize(
    "when", ["just before", *(pytest.param(one, marks=pytest.mark.long) for one in ("on the moment", "after"))]
)
async def test_votes_that_meet_the_expiry_are_in_time_for_everybody_or_for_nobody(
    when: str, hasty: Installation
) -> None:
    async with office_of(hasty) as office, AsyncExitStack() as stack:
        tabs = [await stack.enter_async_context(browser_of(office, name)) for name in ("lena", "lena", "leo", "leo")]
        handle = await hasty.start({"ticket_id": ONE_LEAD})
        request = await hasty.open_request(handle)
        forms = await asyncio.gather(*(form_of(tab, request, "approve") for tab in tabs))
        end_s = request.expires_at.timestamp()
        statuses = await asyncio.gather(
            *(
                press_at(tab, request, form, end_s + early_s)
                for tab, form, early_s in zip(tabs, forms, EARLY_S[when], strict=True)
            )
        )
        assert set(statuses) <= {303, 403, 409}
        report = await handle.result()
        found, votes = await settled(office, request)
        one_story(report, found, votes, len(hasty.refunds()))
        assert when != "after" or votes == ()
        told = {(await tab.get(f"/requests/{request.request_id}")).text for tab in tabs}
        shown = {"granted": "Approved", "expired": "Expired"}[found.state]
        assert all(f'<p class="big">{shown}</p>' in page for page in told)
        assert not any('value="approve"' in page for page in told)
