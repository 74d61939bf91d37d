"""What undoing a run comes to: computed from its ledger and its agent's tools, each time the same. Sends nothing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel

from activities.registry import LoadedAgent
from contracts.base import JsonObject
from contracts.call import EffectState
from contracts.tool import Tool
from contracts.undo import UndoItem, UndoPlan
from store.database import Database
from store.effects import list_effects
from store.undo import Deed, deeds_of

__all__ = ["make_plan", "plan_of"]

_IN_DOUBT = frozenset({EffectState.UNKNOWN, EffectState.IN_FLIGHT, EffectState.PREPARED})
_OPEN = frozenset({"prepared", "in_flight", "unknown"})


@dataclass(frozen=True)
class _Compensation:
    """How one write would be taken back."""

    tool: Tool
    arguments: BaseModel

    @property
    def key(self) -> tuple[str, str]:
        """Tool and natural key."""
        return self.tool.name, self.tool.natural_key(self.arguments)


async def make_plan(db: Database, agent: LoadedAgent, tenant: str, of_run: str, of_step: int | None) -> UndoPlan:
    """The plan of undoing a run's writes, or those of one of its steps."""
    effects = [row for row in await list_effects(db, tenant, of_run) if of_step is None or row["step"] == of_step]
    ways = [_way(agent, row) for row in effects]
    keys = [way.key for way in ways if isinstance(way, _Compensation) and way.key[1]]
    done = await deeds_of(db, tenant, keys)
    return plan_of(agent, tenant, of_run, of_step, list(zip(effects, ways, strict=True)), done)


def plan_of(
    agent: LoadedAgent,
    tenant: str,
    of_run: str,
    of_step: int | None,
    writes: Sequence[tuple[JsonObject, _Compensation | str]],
    done: Mapping[tuple[str, str], Deed],
) -> UndoPlan:
    """The plan of these rows of the ledger, each with its compensation or the reason why there is none."""
    items = [_item(row, way, done) for row, way in writes]
    items.sort(key=lambda item: (item.step, item.call), reverse=True)
    return UndoPlan(tenant=tenant, of_run=of_run, of_step=of_step, agent=agent.name, items=tuple(items))


def _way(agent: LoadedAgent, row: JsonObject) -> _Compensation | str:
    """The compensation of a write that happened, or why there is none."""
    name = str(row["tool"])
    tool = agent.tools.get(name)
    if tool is None:
        return f"{agent.name} has no tool {name} any more"
    undoing = agent.tools.get(tool.compensation) if tool.compensation else None
    if undoing is None or tool.undone_with is None:
        return tool.not_undone or "its tool declares no way back"
    if row["state"] != EffectState.SUCCEEDED:
        return ""
    try:
        asked = tool.args_model.model_validate(json.loads(str(row["arguments"])))
        came = tool.output_model.model_validate(json.loads(str(row["output"] or "{}")))
        arguments = undoing.args_model.model_validate(tool.undone_with(asked, came).model_dump(mode="json"))
    except Exception as error:  # noqa: BLE001 - the agent's own function may raise anything
        return f"what {tool.compensation} needs does not follow from the record: {type(error).__name__}"
    return _Compensation(undoing, arguments)


def _item(row: JsonObject, way: _Compensation | str, done: Mapping[tuple[str, str], Deed]) -> UndoItem:
    values: dict[str, Any] = {
        **{name: row[name] for name in ("step", "call", "tool", "state", "amount_minor", "currency")},
        "arguments": json.loads(str(row["arguments"])),
    }
    state = EffectState(str(row["state"]))
    if state is EffectState.FAILED_FINAL:
        return UndoItem(**values, verdict="nothing", why="it did not happen")
    if state in _IN_DOUBT:
        key = f"{row['run_id']}/{row['step']}/{row['call']}"
        why = f"nobody knows whether it happened: find out, then countersign effects resolve {key}"
        return UndoItem(**values, verdict="in_doubt", why=why)
    if state is EffectState.ABANDONED:
        return UndoItem(**values, verdict="cannot", why="it was closed without knowing whether it happened")
    if isinstance(way, str):
        return UndoItem(**values, verdict="cannot", why=way)
    deed = done.get(way.key)
    if deed is not None and deed.state in _OPEN:
        why = f"{way.tool.name} of {deed.run_id} is under way or in doubt"
        return UndoItem(**values, verdict="in_doubt", why=why)
    if deed is not None:
        why = f"{way.tool.name} of {deed.run_id} took it back before"
        return UndoItem(**values, verdict="undone", why=why, compensation=way.tool.name)
    return UndoItem(
        **values,
        verdict="undo",
        compensation=way.tool.name,
        compensation_arguments=cast("JsonObject", way.arguments.model_dump(mode="json")),
        tier=int(way.tool.tier),
    )
