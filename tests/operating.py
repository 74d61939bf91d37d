"""What tests do as an operator: signed commands, switches, waiting until a run is paused."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio.client import WorkflowHandle

from contracts.command import Command, CommandAnswer, CommandPending, Order, Resume, SignedCommand
from contracts.outcome import RunReport
from contracts.pause_state import OpenPause
from contracts.snapshot import RunSnapshot
from policy.commands import SERVICE_ISSUER
from store.database import Database
from store.pauses import freed_pauses
from store.switches import Thrown, release_switch, throw_switch
from tests.installation import TENANT, WAIT_S, Installation, opaque
from workflows.agent_run import AgentRun

__all__ = [
    "Handle", "command_to", "freed", "obeyed", "paused", "release", "resume_freed", "send", "soon", "switch_on",
]  # fmt: skip

Handle = WorkflowHandle[AgentRun, RunReport]
FoundT = TypeVar("FoundT")


async def soon(look: Callable[[], Awaitable[FoundT | None]], what: str) -> FoundT:
    """What a look finds, as soon as it finds something."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        found = await look()
        if found is not None:
            return found
        await asyncio.sleep(0.03)
    raise TimeoutError(what)


def command_to(to: str, order: Order, person: str = "otto", **changes: object) -> Command:
    """A command as the approvals service would sign it for somebody on call."""
    now = int(time.time())
    return Command.model_validate(
        {
            "tenant": TENANT, "run_id": to, "command_id": opaque("cmd"), "order": order, "reason": "looks wrong",
            "issuer": "local", "subject": person, "person": person, "display_name": person.title(),
            "roles": ("view", "kill"), "authenticated_at": now - 5, "strength": "password", "issued_at": now,
            "expires_at": now + 600, **changes,
        }
    )  # fmt: skip


async def send(handle: Handle, signed: SignedCommand, command_id: str) -> CommandAnswer:
    """Signal a command and ask until the run has answered."""
    await handle.signal(AgentRun.command, signed)

    async def look() -> CommandAnswer | None:
        answer: CommandAnswer = await handle.query(AgentRun.command_answer, command_id)
        return None if isinstance(answer, CommandPending) else answer

    return await soon(look, f"{handle.id} did not answer command {command_id}")


async def obeyed(
    installation: Installation, handle: Handle, order: Order, person: str = "otto", **changes: object
) -> CommandAnswer:
    """Sign an order, send it, and return what the run says."""
    command = command_to(handle.id, order, person, **changes)
    return await send(handle, installation.signer.sign_command(command), command.command_id)


async def paused(handle: Handle) -> OpenPause:
    """The pause of a run that stands still."""

    async def look() -> OpenPause | None:
        snapshot: RunSnapshot = await handle.query(AgentRun.snapshot)
        return snapshot.pause

    return await soon(look, f"{handle.id} did not pause")


async def switch_on(installation: Installation, scope: str, target: str, by: str = "otto") -> Thrown:
    """Throw a switch of the tenant."""
    return await throw_switch(
        installation.db, tenant=TENANT, scope=scope, target=target, reason="a drill", by=by, tenants=[TENANT]
    )


async def release(installation: Installation, thrown: Thrown, by: str = "otto") -> None:
    """Release a switch of the tenant."""
    async with installation.db.tenant(TENANT) as cursor:
        assert await release_switch(cursor, tenant=TENANT, switch_id=thrown.switch_id, by=by, reason="over")


async def freed(installation: Installation) -> list[tuple[str, int, str]]:
    """Halted runs that nothing holds any more, with the number of the pause and who released."""
    settings = installation.settings
    async with Database(settings.database_address(), role=settings.dispatch_role) as dispatch:
        return [(one.run_id, one.number, one.released_by) for one in await freed_pauses(dispatch, 100)]


async def resume_freed(installation: Installation, handle: Handle, number: int, by: str = "otto") -> CommandAnswer:
    """Send the resume that the approvals service sends when nothing halts a run any more."""
    return await obeyed(
        installation, handle, Resume(because="released", pause=number), by, issuer=SERVICE_ISSUER, subject="approvals",
        strength="service", roles=("kill",),
    )  # fmt: skip
