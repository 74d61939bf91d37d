"""Start a stack as a process of its own, and watch what it says."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from settings.load import load_settings
from settings.sources import ROOT
from workers.embedded import stack_file
from workers.embedded.stack_file import ComponentRecord, StackFile

LIMIT_S = 60


def until(holds: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    """Wait for a condition."""
    give_up_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < give_up_s, f"not within {limit_s} s: {what}"
        time.sleep(0.02)


class RunningStack:
    """A supervisor under test."""

    def __init__(self, *arguments: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.workers.embedded.tiny", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                self.lines.append(line.rstrip("\n"))

    def said(self, text: str) -> bool:
        """Whether a line with the text was printed."""
        return any(text in line for line in self.lines)

    def until_said(self, text: str) -> None:
        """Wait for a line with the text."""
        until(lambda: self.said(text) or self.process.poll() is not None, f"{text} in {self.lines}")
        assert self.said(text), self.lines

    def file(self) -> StackFile:
        """What the stack wrote about itself."""
        found = stack_file.read(load_settings().stack_file)
        assert found is not None
        return found

    def record(self, name: str) -> ComponentRecord:
        """What the stack wrote about a component."""
        return next(record for record in self.file().components if record.name == name)

    def pid(self, name: str) -> int:
        """Process id of a component."""
        pid = self.record(name).pid
        assert pid is not None
        return pid

    def kill(self, name: str) -> int:
        """Kill a component without warning. Returns its process id."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def until_replaced(self, name: str, pid: int) -> None:
        """Wait until a component is ready again as another process."""
        until(lambda: self.record(name).state == "ready" and self.record(name).pid != pid, f"{name} is back")

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it. Returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(LIMIT_S)
        self._reader.join()
        return code


def processes_of(state_dir: Path) -> list[str]:
    """Every process that mentions a state folder in its command line or environment, other than this one's family."""
    found: list[str] = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            text = " ".join(process.cmdline()) + " ".join(process.environ().values())
        except psutil.Error:
            continue
        if str(state_dir) in text:
            found.append(f"{process.pid} {text[:80]}")
    return found
