"""One attempt of a tool's function, and what is known after it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

from pydantic import BaseModel
from temporalio import activity

from activities.credentials import CallIdentity
from activities.engine import Engine
from activities.gate.visit import Visit
from activities.sandbox.lines import Job
from activities.services import CallContext
from activities.transcript import shown_output
from contracts.base import JsonObject
from contracts.tool import Ambiguous, Effect, Preview, Probe, RateLimited, RefusedBeforeSend, Rejected, Tool
from store.revocations import current_epoch

__all__ = ["Attempt", "attempt_tool", "context_of", "pause_before", "preview_of", "probe_effect"]

_BACKOFF_S = (0.2, 0.8, 2.0)
_MAX_WAIT_S = 5.0


@dataclass(frozen=True)
class Attempt:
    """What one attempt told."""

    kind: Literal["done", "rejected", "not_sent", "ambiguous"]
    output: JsonObject | None = None
    code: str = ""
    message: str = ""
    wait_s: float = 0.0
    """What the service asked to wait before another attempt, in seconds."""
    settles_key: bool = True
    """Of `rejected`: whether it also tells that nothing happened under this key before."""


async def attempt_tool(
    engine: Engine, visit: Visit, tool: Tool, *, epoch: int, not_after_s: int | None = None
) -> Attempt:
    """Run a tool's function once, within its timeout. Never raises but for cancellation.

    `not_after_s` is when its credentials must end (Unix seconds): that of the lease, for a write. `epoch` is the
    revocation epoch that they carry: that of the lease, or of the admission of a read.
    """
    may_write = tool.effect is Effect.WRITE
    context = context_of(
        engine, visit, tool, visit.arguments, may_write=may_write, epoch=epoch, not_after_s=not_after_s
    )
    try:
        result = await _call(engine, visit, tool, context)
        output = shown_output(cast("JsonObject", result.model_dump(mode="json")))
    except RefusedBeforeSend as fault:
        return Attempt("not_sent", code=fault.code, message=str(fault))
    except RateLimited as fault:
        return Attempt("not_sent", code=fault.code, message=str(fault), wait_s=fault.retry_after_s)
    except Rejected as fault:
        return Attempt("rejected", code=fault.code, message=str(fault), settles_key=fault.settles_key)
    except Ambiguous as fault:
        return Attempt("ambiguous", code=fault.code, message=str(fault))
    except TimeoutError:
        return Attempt("ambiguous", code="timeout", message=f"{tool.name} took longer than {tool.timeout_s:g} s")
    except Exception as error:  # noqa: BLE001 - an agent's tool may raise anything; what it did before is not known
        activity.logger.exception("tool %s raised", tool.name)
        return Attempt("ambiguous", code="tool_fault", message=f"{tool.name} failed: {type(error).__name__}")
    return Attempt("done", output=output)


async def pause_before(attempt: int, wait_s: float) -> None:
    """Wait before another attempt: as asked, or a little longer each time."""
    await asyncio.sleep(min(max(wait_s, _BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)]), _MAX_WAIT_S))


async def probe_effect(engine: Engine, visit: Visit, tool: Tool) -> Probe:
    """Ask the service what became of the effect key. Whatever goes wrong is `unclear`."""
    if tool.probe is None:
        return Probe(state="unclear")
    try:
        epoch = await _epoch_now(engine, visit, tool)
        context = context_of(engine, visit, tool, {"key": visit.effect_key}, may_write=False, epoch=epoch)
        if tool.isolated:
            return Probe.model_validate(await _in_box(engine, visit, tool, context, "probe"))
        async with asyncio.timeout(tool.timeout_s):
            return await tool.probe(tool.args_model.model_validate(visit.arguments), context, visit.effect_key)
    except Exception as error:  # noqa: BLE001 - no answer is no proof
        activity.logger.warning("probe of %s failed: %s", tool.name, type(error).__name__)
        return Probe(state="unclear")


async def preview_of(engine: Engine, visit: Visit, tool: Tool) -> Preview | None:
    """Before and after, for the approver; None where the tool has no preview or it could not be read."""
    if tool.preview is None:
        return None
    try:
        epoch = await _epoch_now(engine, visit, tool)
        context = context_of(engine, visit, tool, visit.arguments, may_write=False, epoch=epoch)
        if tool.isolated:
            return Preview.model_validate(await _in_box(engine, visit, tool, context, "preview"))
        async with asyncio.timeout(tool.timeout_s):
            return await tool.preview(tool.args_model.model_validate(visit.arguments), context)
    except Exception as error:  # noqa: BLE001 - an approver can decide without it
        activity.logger.warning("preview of %s failed: %s", tool.name, type(error).__name__)
        return None


async def _epoch_now(engine: Engine, visit: Visit, tool: Tool) -> int:
    """The revocation epoch, for what is asked beside a call."""
    request = visit.request
    async with engine.db.tenant(request.tenant) as cursor:
        return await current_epoch(
            cursor, tenant=request.tenant, run_id=request.run_id, agent=visit.agent.name, tool=tool.name
        )


def context_of(
    engine: Engine,
    visit: Visit,
    tool: Tool,
    arguments: JsonObject,
    *,
    may_write: bool,
    epoch: int,
    not_after_s: int | None = None,
) -> CallContext:
    """What the tool is given: its one service, credentials bound to these arguments, nothing else."""
    request = visit.request
    identity = CallIdentity(
        tenant=request.tenant,
        run_id=request.run_id,
        agent=visit.agent.name,
        on_behalf_of=visit.loaded.run.on_behalf_of,
        tool=tool.name,
        service=tool.service,
        scopes=tool.scopes,
        effect_key=visit.effect_key if may_write else None,
        not_after_s=not_after_s,
        epoch=epoch,
    )
    return CallContext(
        engine.services, engine.credentials, identity, arguments,
        timeout_s=tool.timeout_s, may_write=may_write, beat=_beat(),
    )  # fmt: skip


async def _call(engine: Engine, visit: Visit, tool: Tool, context: CallContext) -> BaseModel:
    if tool.isolated:
        return tool.output_model.model_validate(await _in_box(engine, visit, tool, context, "call"))
    typed = tool.args_model.model_validate(visit.arguments)
    async with asyncio.timeout(tool.timeout_s):
        return await tool.function(typed, context)


async def _in_box(
    engine: Engine, visit: Visit, tool: Tool, context: CallContext, function: Literal["call", "probe", "preview"]
) -> JsonObject:
    """A function of an isolated tool, in a process of its own. The time for it begins when that process stands."""
    live = engine.registry.live(visit.agent.name)
    if live is None:
        raise RefusedBeforeSend(f"agent {visit.agent.name} is gone", code="agent_gone")
    job = Job(
        folder=str(live.folder),
        tool=tool.name,
        function=function,
        arguments=visit.arguments,
        effect_key=visit.effect_key,
    )
    async with engine.boxes.box() as box, asyncio.timeout(tool.timeout_s):
        return await box.run(job, context)


def _beat() -> Callable[[str], None]:
    if activity.info().is_local:
        return lambda _note: None
    return activity.heartbeat
