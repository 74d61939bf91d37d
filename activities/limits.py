"""The limits file as workers hold it, and the limits as the store's functions take them."""

import json
from collections import OrderedDict
from pathlib import Path

from contracts.agent import PinnedAgent
from contracts.tool import Tool
from policy.limits import ceilings
from settings.limits import LimitsSettings, TenantLimits, ToolCaps
from settings.watched_limits import WatchedLimits

__all__ = ["LimitsBook"]

_MAX_TEXTS = 4_096


class LimitsBook:
    """`limits.yaml`, read anew when it changes, and what the store's functions take of it."""

    def __init__(self, file: Path) -> None:
        """Raises SettingsError: the file has a mistake."""
        self._watched = WatchedLimits(file)
        self._held = self._watched.current()
        self._texts: OrderedDict[tuple[str, str, str, str, bool], str] = OrderedDict()

    def tenant(self, name: str) -> TenantLimits:
        """Limits of a tenant as they are now."""
        return self._current().tenant(name)

    def for_model(self, tenant: str, definition: str, agent: PinnedAgent) -> str:
        """What `draw_allotment` takes for a model call of the agent: JSON text."""
        return self._text(tenant, definition, agent, None)

    def for_tool(
        self, tenant: str, definition: str, agent: PinnedAgent, tool: Tool, *, seen_by_day: bool
    ) -> tuple[str, bool]:
        """What `hold_call` takes for a call of the tool: JSON text; and whether the tool has counts of its own.

        `seen_by_day`: policy looks at the day, so the call is counted there whatever the tool declares.
        """
        caps = self._current().tenant(tenant).tool(tool.name)
        by_day = seen_by_day or counted_by_day(tool, caps)
        text = self._text(tenant, definition, agent, tool, by_day=by_day)
        return text, by_day or tool.rate_per_minute > 0 or caps.rate_per_minute > 0

    def _text(
        self, tenant: str, definition: str, agent: PinnedAgent, tool: Tool | None, *, by_day: bool = False
    ) -> str:
        limits = self._current().tenant(tenant)
        key = (tenant, definition, tool.name if tool else "", tool.source if tool else "", by_day)
        text = self._texts.get(key)
        if text is None:
            text = _as_json(limits, agent, tool, by_day=by_day)
            self._texts[key] = text
            if len(self._texts) > _MAX_TEXTS:
                self._texts.popitem(last=False)
        return text

    def _current(self) -> LimitsSettings:
        held = self._watched.current()
        if held is not self._held:
            self._held = held
            self._texts.clear()
        return held


def _as_json(limits: TenantLimits, agent: PinnedAgent, tool: Tool | None, *, by_day: bool) -> str:
    run, of_agent = ceilings(agent.limits), limits.agent(agent.name)
    found: dict[str, object] = {
        "zone": limits.timezone,
        "run": [run.tokens, run.micros, run.steps, run.tool_calls, run.retries, run.active_s],
        "agent": of_agent.vector(),
        "tenant": limits.day.vector(),
    }
    if tool is not None:
        caps = limits.tool(tool.name)
        per_day = _narrower(tool.rate_per_day, caps.rate_per_day)
        found |= {
            "per_minute": _narrower(tool.rate_per_minute, caps.rate_per_minute),
            "per_day": per_day,
            "by_day": by_day,
            "money": {
                "agent": of_agent.money_minor, "tenant": limits.day.money_minor, "tool": caps.money_minor,
            },
        }  # fmt: skip
    return json.dumps(found, separators=(",", ":"))


def counted_by_day(tool: Tool, caps: ToolCaps) -> bool:
    """Whether each call of the tool is counted in the tenant's day: a row that its calls queue on."""
    return tool.counts_by_day or caps.rate_per_day > 0 or bool(caps.money_minor)


def _narrower(declared: int, tenants: int) -> int:
    """The lower of two rates, where 0 is none."""
    return min(rate for rate in (declared, tenants) if rate) if declared or tenants else 0
