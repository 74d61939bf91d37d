"""Reads that may be served again: to the same tenant, agent and represented user, for the same arguments.

Policy is decided and the call is counted as always; only the service is not asked. A write about the same resource
drops what was read of it. A read that was under way while a write ended may be served until it expires.
"""

import json
from typing import cast

from activities.engine import Engine
from activities.gate.visit import Visit
from contracts.base import JsonObject
from contracts.canonical import canonical_bytes, digest
from contracts.tool import Tool
from store.limits import CachedOutput, drop_reads, find_read, keep_read

__all__ = ["cached_output", "forget_reads", "keep_output"]


async def cached_output(engine: Engine, visit: Visit, tool: Tool) -> tuple[JsonObject, CachedOutput] | None:
    """An output that may be served again, and where it came from."""
    if not tool.cacheable_s:
        return None
    found = await find_read(engine.db, visit.request.tenant, _key(visit, tool))
    return None if found is None else (cast("JsonObject", json.loads(found.output)), found)


async def keep_output(engine: Engine, visit: Visit, tool: Tool, output: JsonObject) -> None:
    """Keep what a read told, where its tool says that it may be served again."""
    if tool.cacheable_s:
        await keep_read(
            engine.db, visit.request.tenant, _key(visit, tool), resource=_resource(visit, tool),
            output=canonical_bytes(output).decode(), run_id=visit.request.run_id, for_s=tool.cacheable_s,
        )  # fmt: skip


async def forget_reads(engine: Engine, visit: Visit, tool: Tool) -> None:
    """A write about a resource was sent: what was read of it is served no more."""
    if any(
        other.cacheable_s and other.resource_type == tool.resource_type for other in engine.registry.tools().values()
    ):
        await drop_reads(engine.db, visit.request.tenant, _resource(visit, tool))


def _key(visit: Visit, tool: Tool) -> str:
    return digest(
        {
            "tool": tool.name,
            "version": tool.version,
            "source": tool.source,
            "service": tool.service,
            "agent": visit.agent.name,
            "on_behalf_of": visit.loaded.run.on_behalf_of,
            "arguments": visit.arguments,
        }
    )


def _resource(visit: Visit, tool: Tool) -> str:
    return f"{tool.resource_type}/{tool.resource_id(tool.args_model.model_validate(visit.arguments))}"
