"""Keep processes running: start in order, say what dies, start it again, stop in reverse order."""

import asyncio
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from workers.embedded.component import Component
from workers.embedded.errors import StackError
from workers.embedded.logs import last_line, log_file, open_log
from workers.embedded.process import ProcessId, exit_text, identify
from workers.embedded.readiness import answers

__all__ = ["Status", "Supervisor"]

State = Literal["waiting", "starting", "ready", "restarting", "stopped"]

_BACKOFF_FIRST_S = 0.25
_BACKOFF_MAX_S = 15.0
_BACKOFF_FORGET_S = 60.0  # a process that held this long starts again without delay
_STARTS_BEFORE_READY_MAX = 4
_ASK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a component now."""

    state: State
    """Where it is in its life."""
    process: ProcessId | None = None
    """Its process, while there is one."""
    restarts: int = 0
    """How often it was started again since the start of the stack."""


@dataclass(slots=True)
class _Kept:
    """A component with what happens to it."""

    component: Component
    status: Status = field(default_factory=lambda: Status("waiting"))
    process: Process | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Supervisor:
    """The processes of one stack. `components` stand in an order in which each comes after those that it waits for."""

    def __init__(
        self,
        components: Sequence[Component],
        *,
        log_folder: Path,
        say: Callable[[str], None],
        changed: Callable[[], object] = lambda: None,
    ) -> None:
        self._kept = {component.name: _Kept(component) for component in components}
        self._log_folder = log_folder
        self._say = say
        self._changed = changed
        self._stopping = False
        self._failure: asyncio.Future[None] | None = None

    def statuses(self) -> dict[str, Status]:
        """What is known of each component now."""
        return {name: kept.status for name, kept in self._kept.items()}

    async def start(self) -> None:
        """Start everything; returns when all are ready. Raises StackError when one cannot be; then call `stop`."""
        self._failure = asyncio.get_running_loop().create_future()
        for kept in self._kept.values():
            kept.task = asyncio.create_task(self._keep(kept), name=f"keep {kept.component.name}")
        everything = asyncio.gather(*(kept.ready.wait() for kept in self._kept.values()))
        await asyncio.wait({everything, self._failure}, return_when=asyncio.FIRST_COMPLETED)
        if self._failure.done():
            everything.cancel()
            with suppress(asyncio.CancelledError):
                await everything
            self._failure.result()

    async def stop(self) -> None:
        """Stop everything, the last first."""
        self._stopping = True
        for kept in reversed(self._kept.values()):
            # First nobody starts it any more, then it is stopped: else a process could slip in between.
            if kept.task is not None:
                kept.task.cancel()
                with suppress(asyncio.CancelledError):
                    await kept.task
            await self._stop_one(kept)
        if self._failure is not None and self._failure.done():
            self._failure.exception()  # retrieved, so that the loop does not complain

    async def _stop_one(self, kept: _Kept) -> None:
        process = kept.process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(kept.component.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), kept.component.stop_limit_s)
            except TimeoutError:
                self._say(f"{kept.component.name} did not stop in {kept.component.stop_limit_s:.0f} s: killed")
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        self._set(kept, Status("stopped", restarts=kept.status.restarts))

    async def _keep(self, kept: _Kept) -> None:
        while not self._stopping:
            try:
                await self._keep_running(kept)
            except StackError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - whatever it is, the person who waits must read it
                failure = StackError(f"{kept.component.name}: {type(error).__name__}: {error}")
                failure.__cause__ = error  # `countersign --debug up` shows it
            else:
                return
            if not kept.ready.is_set():
                self._fail(failure)
                return
            self._say(f"{failure}; trying again in {_BACKOFF_MAX_S:.0f} s")
            await asyncio.sleep(_BACKOFF_MAX_S)

    async def _keep_running(self, kept: _Kept) -> None:
        name = kept.component.name
        for other in kept.component.after:
            await self._kept[other].ready.wait()
        asked_at_s = time.monotonic()
        starts = 0
        failures_in_a_row = 0
        while not self._stopping:
            started_at_s = time.monotonic()
            process = await self._spawn(kept)
            starts += 1
            await self._until_ready_or_gone(kept, process, asked_at_s)
            code = await process.wait()
            if self._stopping:
                return
            log = log_file(self._log_folder, name)
            if not kept.ready.is_set() and starts >= _STARTS_BEFORE_READY_MAX:
                raise StackError(
                    f"{name} does not start: {exit_text(code)}, {last_line(log) or 'no output'}. See {log}"
                )
            held_s = time.monotonic() - started_at_s
            failures_in_a_row = 0 if held_s > _BACKOFF_FORGET_S else failures_in_a_row + 1
            delay_s = min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2 ** min(failures_in_a_row, 10) / 2)
            self._set(kept, Status("restarting", restarts=kept.status.restarts + 1))
            self._say(f"{name} died ({exit_text(code)}); starting it again in {delay_s:.2g} s. Log: {log}")
            await asyncio.sleep(delay_s)

    async def _spawn(self, kept: _Kept) -> Process:
        component = kept.component
        account = component.account
        if component.prepare is not None:
            await asyncio.to_thread(component.prepare)
        log = open_log(log_file(self._log_folder, component.name))
        try:
            process = await asyncio.create_subprocess_exec(
                *component.argv,
                stdin=DEVNULL,
                stdout=log,
                stderr=STDOUT,
                env=dict(component.environment),
                cwd=component.folder,
                # Ctrl-C reaches us alone; we stop the others in order.
                start_new_session=True,
                user=None if account is None else account.user_id,
                group=None if account is None else account.group_id,
                extra_groups=None if account is None else [],
            )
        except OSError as error:
            raise StackError(f"{component.name}: {component.argv[0]} cannot be run: {error.strerror}") from error
        finally:
            log.close()
        kept.process = process
        # Recorded at once: if we are killed, the next supervisor finds this process by what is written here.
        self._set(kept, Status("starting", identify(process.pid), kept.status.restarts))
        return process

    async def _until_ready_or_gone(self, kept: _Kept, process: Process, asked_at_s: float) -> None:
        component = kept.component
        while process.returncode is None and not self._stopping:
            if await answers(component.probe) and process.returncode is None:
                break
            if not kept.ready.is_set() and time.monotonic() - asked_at_s > component.ready_limit_s:
                log = log_file(self._log_folder, component.name)
                raise StackError(
                    f"{component.name} was not ready in {component.ready_limit_s:.0f} s: "
                    f"{last_line(log) or 'no output'}. See {log}"
                )
            await asyncio.sleep(_ASK_EVERY_S)
        else:
            return
        if not kept.ready.is_set() and component.once_ready is not None:
            await component.once_ready()
        again = kept.ready.is_set()
        self._set(kept, replace(kept.status, state="ready"))
        kept.ready.set()
        if again:
            self._say(f"{component.name} is ready again")

    def _set(self, kept: _Kept, status: Status) -> None:
        kept.status = status
        self._changed()

    def _fail(self, error: StackError) -> None:
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)
