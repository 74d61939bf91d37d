"""An isolated tool in a whole run: the gate asks its service for it, and the run knows what happened when it dies."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from contracts.outcome import Outcome
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import TENANT, Installation, installed
from tests.workflows.conftest import backoffice, credential_key, shared_backoffice

__all__ = ["backoffice", "credential_key", "shared_backoffice"]

pytestmark = pytest.mark.req("T11")


@pytest.fixture
async def installation(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> AsyncGenerator[Installation]:  # fmt: skip
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0],
        agents_dir=Path(__file__).with_name("agents"),
    ) as made:  # fmt: skip
        yield made


async def test_a_run_reads_and_writes_from_behind_the_walls(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": "TIC-2001", "mode": "From the cell"}, agent="prisoner")
    report = await handle.result()
    assert report.outcome is Outcome.COMPLETED
    assert report.totals.effects == 1
    drafts = installation.backoffice.books(TENANT)["drafts"]
    assert [draft["text"] for draft in drafts] == ["From the cell"]


async def test_a_tool_that_dies_before_it_sends_has_no_effect(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": "TIC-2001", "mode": "dies before"}, agent="prisoner")
    report = await handle.result()
    assert (report.totals.tool_calls, report.totals.effects, report.totals.unknown) == (2, 0, 0)
    assert installation.backoffice.books(TENANT)["drafts"] == []
