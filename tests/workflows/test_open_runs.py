"""A worker does not start on code on which an open run would go wrong."""

import uuid
from datetime import timedelta

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from contracts.event import RunRequest
from contracts.outcome import RunReport
from settings import SettingsError
from tests.installation import Installation
from workers.open_runs import refuse_changed_code


@workflow.defn(name="AgentRun")
class FormerRun:
    """An earlier shape of the run: it slept where today's pins its agent."""

    @workflow.run
    async def run(self, request: RunRequest) -> RunReport:
        """Sleep."""
        await workflow.sleep(timedelta(hours=1))
        raise RuntimeError(request.run_id)


@pytest.mark.req("D4")
async def test_open_runs_of_todays_code_are_replayed_and_pass(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": "TIC-2006"})
    await installation.open_request(handle)
    queue = installation.settings.temporal_task_queue
    assert await refuse_changed_code(installation.client, queue) == 1
    await handle.cancel()
    await handle.result()


@pytest.mark.req("D4")
async def test_a_worker_refuses_code_on_which_an_open_run_does_not_replay(temporal_client: Client) -> None:
    queue, run_id = f"former-{uuid.uuid4().hex[:8]}", "run-" + "a" * 26
    request = RunRequest.model_validate(
        {
            "tenant": "acme",
            "run_id": run_id,
            "agent": "support_refund",
            "origin": {"kind": "event", "endpoint": "e", "event_id": "x#1", "body_digest": "sha256:" + "0" * 64},
        }
    )
    async with Worker(
        temporal_client, task_queue=queue, workflows=[FormerRun], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        handle = await temporal_client.start_workflow("AgentRun", request, id=run_id, task_queue=queue)
        # Answered by the worker only once the first workflow task is done.
        assert (await handle.describe()).id == run_id
        async for event in handle.fetch_history_events(wait_new_event=True):
            if event.HasField("timer_started_event_attributes"):
                break
    try:
        with pytest.raises(SettingsError, match=rf"{run_id} does not replay"):
            await refuse_changed_code(temporal_client, queue)
    finally:
        await handle.terminate()
