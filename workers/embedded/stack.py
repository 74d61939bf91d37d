"""`countersign up`: from an empty folder to a running stack, and back to nothing running."""

import asyncio
import os
import signal
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from pydantic import JsonValue

from settings import Settings
from settings.describe import unknown_variables
from settings.endpoints import Endpoint, load_endpoints
from settings.load import load_settings
from settings.secret_references import referenced_variable
from settings.tenants import load_tenants
from store import migrations
from workers.embedded import stack_file
from workers.embedded.component import Component
from workers.embedded.components import PORTS, our_processes
from workers.embedded.database import create_application_database
from workers.embedded.keys import make_keys
from workers.embedded.leftovers import end_leftovers
from workers.embedded.lock import Held, held, make_state_folder
from workers.embedded.logs import log_file
from workers.embedded.namespace import set_up_namespace
from workers.embedded.ports import next_free
from workers.embedded.postgres import LOGIN, PostgresServer
from workers.embedded.process import ProcessId, identify
from workers.embedded.stack_file import ComponentRecord, StackFile
from workers.embedded.state import StackState, observe
from workers.embedded.supervisor import Supervisor
from workers.embedded.temporal import temporal_component

__all__ = ["Stack", "run"]

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class Stack:
    """A stack on one state folder, while its lock is held."""

    say: Callable[[str], None]
    """Takes each line for the person who watches."""
    ui: bool = False
    """Whether Temporal serves its own pages too."""
    processes: Callable[[Settings, Collection[str]], Sequence[Component]] = our_processes
    """The processes that run beside the servers."""
    lock: Held | None = field(default=None, init=False)
    """The lock of the state folder."""
    _state: StackFile | None = field(default=None, init=False)
    _told: bool = field(default=False, init=False)
    _components: tuple[Component, ...] = field(default=(), init=False)
    _supervisor: Supervisor | None = field(default=None, init=False)

    async def start(self) -> StackState:
        """Start everything; returns when all is ready. Raises StackError or SettingsError. Call `stop` either way."""
        # Read only now: an earlier stack's file, removed a moment ago, named servers that are gone.
        settings = load_settings()
        unknown = unknown_variables()
        if unknown:
            self.say(f"unknown, so without effect: {', '.join(unknown)}. `countersign config` lists every setting.")
        ports = self._choose_ports(settings)
        endpoints = load_endpoints(settings.endpoints_file, load_tenants(settings.tenants_file))
        make_keys(settings, [name for name, endpoint in endpoints.items() if not endpoint.secrets], self.say)
        servers, found = self._servers(settings, ports)
        settings = self._publish(settings, found, ports)
        if settings.database_url is not None and "database_url" not in found:
            await asyncio.to_thread(migrations.upgrade, settings.migration_database_address())
        own = self.processes(settings, _referenced_variables(endpoints))
        self._components = _waiting_for_what_runs([*servers, *own])
        self._supervisor = Supervisor(
            self._components,
            log_folder=settings.state_dir / "logs",
            say=self.say,
            changed=lambda: self._record(settings),
        )
        await self._supervisor.start()
        self._record(settings, "ready")
        return await observe(settings)

    async def stop(self) -> None:
        """Stop everything, the last first."""
        if self._supervisor is not None:
            await self._supervisor.stop()

    def _servers(self, settings: Settings, ports: dict[str, int]) -> tuple[list[Component], dict[str, JsonValue]]:
        servers: list[Component] = []
        found: dict[str, JsonValue] = {}
        if settings.database_url is None:
            server = PostgresServer.at(settings.state_dir / "postgres")
            found |= {"database_url": server.url(user=LOGIN), "migration_database_url": server.url()}

            async def create() -> None:
                await asyncio.to_thread(create_application_database, server)

            servers.append(server.component(self.say, once_ready=create))
        if settings.temporal_address is None:
            folder = settings.state_dir / "temporal"
            folder.mkdir(mode=0o700, exist_ok=True)
            address, namespace = f"127.0.0.1:{ports['temporal_port']}", settings.temporal_namespace
            found["temporal_address"] = address
            servers.append(
                temporal_component(
                    file=folder / "temporal.db",
                    port=ports["temporal_port"],
                    namespace=namespace,
                    ui_port=ports["temporal_ui_port"] if self.ui else None,
                    once_ready=lambda: set_up_namespace(address, namespace),
                )
            )
        return servers, found

    def _choose_ports(self, settings: Settings) -> dict[str, int]:
        chosen: dict[str, int] = {}
        for name, host_name in PORTS.items():
            wanted: int = getattr(settings, name)
            host: str = getattr(settings, host_name) if host_name else "127.0.0.1"
            chosen[name] = next_free(wanted, host, taken=chosen.values())
            if chosen[name] != wanted and (self.ui or name != "temporal_ui_port"):
                self.say(f"port {wanted} ({name}) is taken: using {chosen[name]}")
        return chosen

    def _publish(self, settings: Settings, found: dict[str, JsonValue], ports: dict[str, int]) -> Settings:
        me = _this_process()
        self._state = StackFile(
            supervisor_pid=me.pid,
            supervisor_started_at_s=me.started_at_s,
            state="starting",
            settings=found,
            ports=ports,
            components=(),
        )
        stack_file.write(settings.stack_file, self._state)
        # As every other command reads them from now on.
        return load_settings()

    def _record(self, settings: Settings, state: str | None = None) -> None:
        if self._state is None or self._supervisor is None or not self._is_in_place():
            return
        statuses = self._supervisor.statuses()
        records = tuple(
            ComponentRecord(
                name=component.name,
                state=statuses[component.name].state,
                pid=process.pid if process else None,
                started_at_s=process.started_at_s if process else None,
                address=component.address,
                restarts=statuses[component.name].restarts,
                version=component.version,
                log_file=str(log_file(settings.state_dir / "logs", component.name)),
                stop_signal=component.stop_signal.value,
                probe=component.probe,
                labels=dict(component.labels),
            )
            for component in self._components
            for process in (statuses[component.name].process,)
        )
        update: dict[str, object] = {"components": records}
        self._state = self._state.model_copy(update=update if state is None else {**update, "state": state})
        stack_file.write(settings.stack_file, self._state)

    def _is_in_place(self) -> bool:
        """Whether what is written reaches those who look: not after the folder was moved away, which is said once."""
        here = self.lock is not None and self.lock.is_in_place()
        if not here and not self._told:
            self._told = True
            self.say(
                "the state folder was moved away: `status` and `down` see this stack no more. Stop it here: Ctrl-C."
            )
        return here


def run(stack: Stack, on_ready: Callable[[StackState], None]) -> None:
    """Run a stack until a signal asks it to stop.

    Raises:
        AlreadyRunningError: another one runs on this state folder.
        StackError: a component cannot be started; everything was stopped again.
    """
    state_dir = load_settings().state_dir
    make_state_folder(state_dir)
    with held(state_dir) as stack.lock:
        stack.lock.sign(_this_process())
        end_leftovers(state_dir, stack.say)
        try:
            asyncio.run(_run(stack, on_ready))
        finally:
            # Of a folder that was moved away nothing is known here: what lies in its place is another stack's.
            if stack.lock.is_in_place():
                stack_file.remove(state_dir / "stack.json")


async def _run(stack: Stack, on_ready: Callable[[StackState], None]) -> None:
    asked = asyncio.Event()
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    starting = asyncio.create_task(stack.start())
    stopping = asyncio.create_task(asked.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            on_ready(starting.result())
            await stopping
        stack.say("stopping")
    finally:
        starting.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await starting
        stopping.cancel()
        await stack.stop()


def _this_process() -> ProcessId:
    return identify(os.getpid()) or ProcessId(os.getpid(), 0)


def _waiting_for_what_runs(components: Sequence[Component]) -> tuple[Component, ...]:
    """An external server is not waited for: it is up, or the process that needs it says so."""
    names = {component.name for component in components}
    return tuple(
        component.waiting_for(tuple(name for name in component.after if name in names)) for component in components
    )


def _referenced_variables(endpoints: dict[str, Endpoint]) -> frozenset[str]:
    references = (reference for endpoint in endpoints.values() for reference in endpoint.secrets)
    return frozenset(name for reference in references if (name := referenced_variable(reference)))
