"""CPU that processes have used, ended children included."""

from collections.abc import Mapping
from dataclasses import dataclass

import psutil

__all__ = ["Cpu", "cpu_used"]


@dataclass(frozen=True)
class Cpu:
    """CPU seconds by component."""

    seconds: Mapping[str, float]

    @property
    def total_s(self) -> float:
        """Of all components."""
        return sum(self.seconds.values())

    def since(self, earlier: "Cpu") -> "Cpu":
        """What was used in between."""
        return Cpu({name: seconds - earlier.seconds[name] for name, seconds in self.seconds.items()})

    def per(self, jobs: int) -> "Cpu":
        """The share of one job."""
        return Cpu({name: seconds / jobs for name, seconds in self.seconds.items()})


def cpu_used(pids: Mapping[str, int]) -> Cpu:
    """User and system time of each process tree so far.

    A process's own counters, those of its living descendants, and those of the descendants that it has waited for:
    the postmaster waits for every backend, so one that has ended is counted too.
    """
    return Cpu({name: _tree(psutil.Process(pid)) for name, pid in pids.items()})


def _tree(root: psutil.Process) -> float:
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # ended meanwhile: its parent's counters have it at the next look
        total += times.user + times.system + times.children_user + times.children_system
    return total
