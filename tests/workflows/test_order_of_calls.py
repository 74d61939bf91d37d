"""The calls of one answer: short reads in turn, slow reads side by side, writes in the order of the proposal."""

import sys
from pathlib import Path
from typing import cast

import pytest

from contracts.outcome import Outcome
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import installed
from tests.workflows.variants import models_with

AGENTS = Path(__file__).parent / "agents"


@pytest.mark.req("D1")
async def test_reads_come_first_and_writes_keep_their_order(
    tmp_path: Path,
    database: DatabaseAddresses,
    temporal_address: str,
    backoffice: Server,
    credential_key: tuple[Path, Path],
) -> None:
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0],
        agents_dir=AGENTS, models_file=models_with(tmp_path),
    ) as installation:  # fmt: skip
        tool = installation.engine.registry.agents["order_keeper"].tools["keeper.write"]
        notes = cast("list[str]", vars(sys.modules[tool.function.__module__])["NOTES"])
        notes.clear()
        handle = await installation.start({"ticket_id": "none"}, agent="order_keeper")
        report = await handle.result()
    assert report.outcome is Outcome.COMPLETED
    assert notes[:4] == ["short1 begins", "short1 ends", "short2 begins", "short2 ends"]
    # Neither slow read can end before both have begun.
    assert sorted(notes[4:6]) == ["slow1", "slow2"]
    assert notes[6:] == ["write1 begins", "write1 ends", "write2 begins", "write2 ends"]
