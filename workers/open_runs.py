"""Runs that are open when a worker starts: code on which one of them does not replay must not work on it."""

import asyncio
import logging

from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Replayer

from settings import SettingsError
from settings.payloads import DATA_CONVERTER
from workflows.sandbox import WORKFLOWS, sandbox

__all__ = ["refuse_changed_code"]

MAX_RUNS = 200
"""Newest open runs that are replayed; a whole one of 1,000 events takes about 0.4 s."""
_LIMIT_S = 60
_logger = logging.getLogger(__name__)


async def refuse_changed_code(client: Client, task_queue: str) -> int:
    """Replay the open runs of a task queue.

    Returns:
        How many were replayed.

    Raises:
        SettingsError: one does not replay. Nothing has been done to it; with the former code it goes on.
    """
    query = f"WorkflowType IN ('AgentRun', 'UndoRun') AND ExecutionStatus = 'Running' AND TaskQueue = '{task_queue}'"
    replayer = Replayer(workflows=list(WORKFLOWS), workflow_runner=sandbox(), data_converter=DATA_CONVERTER)
    replayed = 0
    try:
        async with asyncio.timeout(_LIMIT_S):
            async for run in client.list_workflows(query, limit=MAX_RUNS):
                history = await client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
                result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
                if result.replay_failure is not None:
                    raise SettingsError(
                        f"the open run {run.id} does not replay on this code. Put the former code back until it has "
                        f"ended, or end it with `temporal workflow terminate --workflow-id {run.id}`. "
                        f"`countersign replay {run.id}` says where it parts."
                    )
                replayed += 1
    except TimeoutError:
        _logger.warning("replayed %d open runs in %d s; the others are not checked", replayed, _LIMIT_S)
    except RPCError as error:
        raise SettingsError(f"the open runs cannot be read: {error.message}. Check `countersign doctor`.") from error
    return replayed
