"""What runs now: the stack's file, checked against the processes and asked for readiness."""

import asyncio
from collections.abc import Collection
from typing import Literal

from pydantic import BaseModel, ConfigDict

from settings import Settings
from settings.describe import shown
from workers.embedded import stack_file
from workers.embedded.lock import holder, is_held
from workers.embedded.process import ProcessId, is_alive
from workers.embedded.readiness import answers
from workers.embedded.stack_file import ComponentRecord

__all__ = ["ComponentState", "StackState", "observe"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ComponentState(_Record):
    """One component now."""

    name: str
    """Its name."""
    state: Literal["up", "down", "starting", "external"]
    """`starting`: the process is there and does not answer yet. `external`: somebody else runs it."""
    pid: int | None = None
    """Process id; null: no process of ours."""
    address: str
    """Where it is reached; passwords are masked."""
    restarts: int = 0
    """How often it was started again since the start of the stack."""
    version: str = ""
    """Version of its program."""
    log_file: str = ""
    """Where its output goes."""
    labels: dict[str, str] = {}
    """Further facts, for example the address of its pages."""


class StackState(_Record):
    """The stack now."""

    state: Literal["starting", "ready", "stopping", "stopped"]
    """Where it is in its life."""
    state_dir: str
    """Its folder."""
    supervisor_pid: int | None
    """Process id of `countersign up`; null: it does not run."""
    components: tuple[ComponentState, ...]
    """In the order of their start. Empty when nothing runs."""

    @property
    def is_whole(self) -> bool:
        """Whether everything is up."""
        return self.state == "ready" and all(component.state in {"up", "external"} for component in self.components)


async def observe(settings: Settings) -> StackState:
    """Look at everything at once."""
    found = stack_file.read(settings.stack_file)
    running = is_held(settings.state_dir)
    if found is None:
        state = "starting" if running else "stopped"
        signed = holder(settings.state_dir) if running else None
        pid = signed.pid if signed else None
        return StackState(state=state, state_dir=str(settings.state_dir), supervisor_pid=pid, components=())
    seen = await asyncio.gather(*(_look(record) for record in found.components))
    return StackState(
        state=found.state if running else "stopped",
        state_dir=str(settings.state_dir),
        supervisor_pid=found.supervisor_pid if running else None,
        components=(*_external(settings, found.settings), *seen),
    )


async def _look(record: ComponentRecord) -> ComponentState:
    alive = record.pid is not None and is_alive(ProcessId(record.pid, record.started_at_s or 0))
    is_ready = alive and await answers(record.probe)
    return ComponentState(
        name=record.name,
        state="up" if is_ready else "starting" if alive else "down",
        pid=record.pid if alive else None,
        address=record.address,
        restarts=record.restarts,
        version=record.version,
        log_file=record.log_file,
        labels=record.labels,
    )


def _external(settings: Settings, embedded: Collection[str]) -> tuple[ComponentState, ...]:
    rows = (
        ("postgres", "database_url", shown(settings.database_url)),
        ("temporal", "temporal_address", settings.temporal_address or ""),
    )
    return tuple(
        ComponentState(name=name, state="external", address=address)
        for name, setting, address in rows
        if setting not in embedded
    )
