"""Approving an emergency, for the page and the command line: none is open without the timer that ends it."""

from collections.abc import Awaitable, Callable

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from contracts.emergency import BREAK_GLASS, Emergency, WatchEmergency
from store.database import Database
from store.emergencies import approve_emergency

__all__ = ["StartTimer", "approve_with_timer", "start_timer"]

StartTimer = Callable[[WatchEmergency], Awaitable[None]]


async def approve_with_timer(
    database: Database, tenant: str, emergency_id: str, *, username: str, person: str, start: StartTimer
) -> Emergency:
    """One person's yes. Where it opens the emergency, its timer is started before that is committed.

    Raises:
        NotAllowed: the person may not.
        Exception: whatever `start` raises; then nothing was approved.
    """
    async with database.tenant(tenant) as cursor:
        found = await approve_emergency(cursor, tenant, emergency_id, username=username, person=person)
        if found.state == "open" and found.expires_at is not None:
            expires_at = int(found.expires_at.timestamp())
            await start(WatchEmergency(tenant=tenant, emergency_id=emergency_id, expires_at=expires_at))
        return found


async def start_timer(client: Client, task_queue: str, request: WatchEmergency) -> None:
    """Start the workflow `BreakGlass` of an emergency; again finds the one that runs."""
    await client.start_workflow(
        BREAK_GLASS,
        request,
        id=f"break-glass-{request.tenant}-{request.emergency_id}",
        task_queue=task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
    )
