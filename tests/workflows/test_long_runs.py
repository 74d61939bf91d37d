"""A run that outgrows one Temporal history goes on in another, and nothing of it is lost or done again."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError

from activities.pin_agent import pin_agent
from contracts.outcome import Outcome, OutcomeReason, RunReport
from store.runs import load_transcript
from tests.conftest import DatabaseAddresses, running
from tests.examples.server import Server
from tests.installation import Installation, installed
from tests.workflows.test_safe_ends import SCRIPT, ended
from tests.workflows.variants import MAY_CIRCLE, agents_with, models_with
from workers.embedded.ports import some_free
from workers.embedded.temporal import temporal_component
from workflows.agent_run import AgentRun

STEPS = 60


@pytest.fixture(scope="module")
def impatient_temporal(servers_folder: Path) -> Iterator[str]:
    """A server that suggests to continue as new after few events."""
    plain = temporal_component(file=servers_folder / "impatient.db", port=some_free())
    suggestion = ("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=60")
    component = dataclasses.replace(plain, argv=(*plain.argv, *suggestion))
    with running(component, servers_folder):
        yield component.address


@pytest.mark.req("D3")
async def test_a_long_run_continues_as_new_and_counts_on(
    tmp_path: Path,
    database: DatabaseAddresses,
    impatient_temporal: str,
    backoffice: Server,
    credential_key: tuple[Path, Path],
) -> None:
    limits = {"steps": STEPS, "tokens": 5_000_000, "tool_calls": 1_000, "loops": MAY_CIRCLE}
    async with installed(
        tmp_path, database.url, impatient_temporal, backoffice, credential_key[0],
        agents_dir=agents_with(tmp_path, SCRIPT, limits=limits), models_file=models_with(tmp_path),
    ) as installation:  # fmt: skip
        handle = await installation.start({"ticket_id": "TIC-2001", "mode": "loops"}, trusted=("ticket_id", "mode"))
        report: RunReport = await handle.result()
        links = [link async for link in installation.client.list_workflows(f"WorkflowId = '{handle.id}'")]
        transcript = await load_transcript(installation.db, "acme", handle.id)
        snapshot = await installation.client.get_workflow_handle_for(AgentRun.run, handle.id).query(AgentRun.snapshot)
    assert ended(report) == (Outcome.ESCALATED, OutcomeReason.LIMIT_REACHED)
    assert report.totals.steps == STEPS
    assert len(links) > 1
    # Every step stands in the transcript once: one answer, one result.
    assert [row["step"] for row in transcript if row["call"] is None][2:] == list(range(1, STEPS + 1))
    assert snapshot.step == STEPS + 1


@pytest.mark.req("D3", "D4")
async def test_a_later_part_of_a_run_begins_with_what_the_first_pinned(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = await installation.accepted({"ticket_id": "TIC-2001"})
    pinned = await pin_agent(installation.engine, begun)
    monkeypatch.delitem(installation.engine.registry.agents, begun.agent)
    assert await pin_agent(installation.engine, begun) == pinned
    with pytest.raises(ApplicationError, match="no agent support_refund"):
        await pin_agent(installation.engine, await installation.accepted({"ticket_id": "TIC-2001"}))
