"""Processes that a test may kill -9 and start again on what they left behind."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from workers.embedded.component import Component
from workers.embedded.readiness import answers

__all__ = ["Victim", "until"]

READY_LIMIT_S = 60.0
POLL_S = 0.05


class Victim:
    """One process of the stack."""

    def __init__(self, component: Component, log_folder: Path) -> None:
        self.component = component
        self.log = log_folder / f"{component.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """Of the component."""
        return self.component.name

    def spawn(self) -> None:
        """Start the process."""
        component, account = self.component, self.component.account
        if component.prepare is not None:
            component.prepare()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                component.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(component.environment),
                cwd=component.folder,
                start_new_session=True,
                user=None if account is None else account.user_id,
                group=None if account is None else account.group_id,
                extra_groups=None if account is None else [],
            )

    async def ready(self) -> None:
        """Wait until it serves."""
        assert self._process is not None
        deadline = time.monotonic() + READY_LIMIT_S
        while not await answers(self.component.probe):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not start:\n{self.log.read_text(errors='replace')[-3000:]}")
            await asyncio.sleep(POLL_S)

    async def start(self) -> None:
        """Start the process and wait until it serves."""
        self.spawn()
        await self.ready()

    def kill(self) -> None:
        """End it and its children at once: no handler runs, no buffer is written."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(timeout=20)

    def shut_down(self, number: signal.Signals) -> None:
        """End it in order, as an operator does who restarts it."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(timeout=60)

    def pause(self) -> None:
        """Stop its clock, as a machine that swaps or a hypervisor that moves it would."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it at the end of the tests."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self._process.pid)
            # The backends of Postgres are in sessions of their own. The parent first, so that it replaces none.
            everyone = [parent, *parent.children(recursive=True)]
            for process in everyone:
                with suppress(psutil.NoSuchProcess):
                    os.kill(process.pid, number)
            if number is signal.SIGKILL:
                psutil.wait_procs(everyone[1:], timeout=20)


def until(condition: Callable[[], bool], what: str, limit_s: float = 60.0) -> None:
    """Wait for a condition that another process makes true."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(POLL_S)
