"""The page of a run: what it did, who was asked, what it cost, and where to look next."""

import re

import pytest

from tests.approvals.conftest import Office, hidden_in
from tests.approvals.run_scene import DENIED, write_run
from tests.approvals.scene import EVE, LENA, ask
from tests.conftest import DatabaseAddresses

pytestmark = pytest.mark.req("A2", "O1")
BYTES_MAX = 60 * 1024
_ASSET = re.compile(r'(?:href|src)="(/static/[^"]+\.(?:css|js))"')
_TAGS = re.compile(r"<[^>]+>")


def words_of(page: str) -> str:
    """Its text, in one line."""
    return " ".join(_TAGS.sub(" ", page.partition("<main")[2]).split())


async def test_it_says_what_was_done_with_whose_word_and_at_what_cost(
    office: Office, empty_database: DatabaseAddresses
) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as lena:
        hidden = hidden_in((await lena.get(f"/requests/{request.request_id}")).text)
        form = {**hidden, "digest": request.digest, "verdict": "approve", "reason": "Checked with the carrier."}
        assert (await lena.post(f"/requests/{request.request_id}/decision", data=form)).status_code == 303
        write_run(empty_database.owner_url, request)
        page = await lena.get(f"/runs/{request.run_id}")
    told = words_of(page.text)
    for words in (
        "Completed It did what it was asked for.",
        "payments.issue_refund EUR 480.00 Done Order id ord_2002",
        "tickets.reply_draft Nobody knows whether it happened",
        "Nobody knows whether a write of it happened",
        f"{DENIED} Denied by policy addresses-by-people · step 2",
        "1 person of support-leads",
        "Lena approved",
        "Checked with the carrier.",
        "Tokens 12,056 of 60,000",
        "Model cost USD 0.0123 of USD 0.50",
        "Tool calls 9 of 10",
        "Money moved EUR 480.00",
        f"countersign replay {request.run_id}",
    ):
        assert words in told, (words, told)
    for address in (
        f"/doubts/{request.run_id}/3/0",
        f"/requests/{request.request_id}",
        f"/runs/{request.run_id}/steps",
    ):
        assert f'href="{address}' in page.text


async def test_of_many_writes_it_names_those_in_doubt_and_stays_small(
    office: Office, empty_database: DatabaseAddresses
) -> None:
    request = await ask(office.db, "many")
    write_run(empty_database.owner_url, request, writes=80)
    async with office.signed_in(LENA) as lena:
        page = await lena.get(f"/runs/{request.run_id}")
        files = [(await lena.get(one)).content for one in sorted(set(_ASSET.findall(page.text)))]
    assert len(page.content) + sum(map(len, files)) < BYTES_MAX
    assert words_of(page.text).partition("What it did")[2].startswith(" 66 more: ")
    assert f"/doubts/{request.run_id}/4/0" in page.text
    assert f"/doubts/{request.run_id}/5/0" not in page.text


async def test_another_tenant_learns_nothing_of_it(office: Office, empty_database: DatabaseAddresses) -> None:
    request = await ask(office.db, "theirs")
    write_run(empty_database.owner_url, request)
    async with office.signed_in(EVE) as eve:
        page = await eve.get(f"/runs/{request.run_id}")
    assert page.status_code == 404
    assert "refund" not in page.text
