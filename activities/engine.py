"""What every activity of a run is given, and the errors that it may raise."""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NoReturn

from temporalio.exceptions import ApplicationError

from activities.agent_tools import schema_digest
from activities.bundles import Bundles
from activities.calendars import Calendars
from activities.credentials import Issuers
from activities.limits import LimitsBook
from activities.models.prices import ensure_priced
from activities.notify import Notifier
from activities.outgoing import OutgoingRules
from activities.registry import Registry
from activities.sandbox import Boxes
from activities.services import Services
from contracts.agent import PinnedAgent
from contracts.model import ModelChoice
from contracts.run_activities import ENGINE_FAULT, STORE_DOWN
from contracts.tool import Tool
from settings import Settings
from store.database import Database, StoreDown
from store.runs import PinnedDefinition, load_definition

__all__ = ["Engine", "engine_fault", "store_down"]

_MAX_DEFINITIONS = 256


@dataclass
class Engine:
    """The parts that a worker's activities share."""

    settings: Settings
    db: Database
    registry: Registry
    bundles: Bundles
    credentials: Issuers
    services: Services
    outgoing: OutgoingRules
    boxes: Boxes
    limits: LimitsBook
    notifier: Notifier
    calendars: Calendars
    _definitions: OrderedDict[tuple[str, str], PinnedAgent] = field(
        default_factory=OrderedDict[tuple[str, str], PinnedAgent]
    )

    _schemas: dict[tuple[str, int, str], str] = field(default_factory=dict[tuple[str, int, str], str])
    _pins: dict[str, tuple[object, PinnedDefinition]] = field(
        default_factory=dict[str, tuple[object, PinnedDefinition]]
    )

    def schema_digest(self, tool: Tool) -> str:
        """Digest of a tool's schemas, computed once for each version of its source."""
        key = (tool.name, tool.version, tool.source)
        if key not in self._schemas:
            self._schemas[key] = schema_digest(tool)
        return self._schemas[key]

    def pin(self, name: str, models: dict[str, ModelChoice], vote_keys: dict[str, str]) -> PinnedDefinition:
        """The definition that a run of an agent records now; computed anew when models or keys have changed.

        Raises:
            AgentRefused: see `Registry.pin`.
            UnpricedModel: a run with it would stop half-way, at its first question to that model.
        """
        now = (models, vote_keys)
        known = self._pins.get(name)
        if known is None or known[0] != now:
            for choice in models.values():
                ensure_priced(choice)
            known = self._pins[name] = (now, PinnedDefinition(self.registry.pin(name, models, vote_keys)))
        return known[1]

    async def definition(self, tenant: str, digest: str) -> PinnedAgent:
        """A pinned agent by digest. Content-addressed, so a process may keep it."""
        key = (tenant, digest)
        if key not in self._definitions:
            found = await load_definition(self.db, tenant, digest)
            if found is None:
                engine_fault(f"no definition {digest} in tenant {tenant}")
            self._definitions[key] = found
            if len(self._definitions) > _MAX_DEFINITIONS:
                self._definitions.popitem(last=False)
        self._definitions.move_to_end(key)
        return self._definitions[key]


def engine_fault(message: str) -> NoReturn:
    """A contradiction that no retry can end: a forged input, or a fault of this software."""
    raise ApplicationError(message, type=ENGINE_FAULT, non_retryable=True)


def store_down(error: StoreDown, *, last: bool = False) -> ApplicationError:
    """The error that Temporal retries until the run's patience with the store ends: `last` is that end."""
    if last:
        return ApplicationError(str(error), type=STORE_DOWN, non_retryable=True)
    return ApplicationError(str(error), type=STORE_DOWN, next_retry_delay=timedelta(seconds=1))
