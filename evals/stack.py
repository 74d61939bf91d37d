"""What a stack must offer for cases to be run on it. Processes are started by whoever hands it over, never here."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from evals.world import BackOffice
from settings import Settings

__all__ = ["EvalStack"]


@dataclass(frozen=True)
class EvalStack:
    """Servers that run, and how to put a worker on them."""

    settings: Settings
    """With the addresses of database, Temporal server and services, and with the keys."""
    world: BackOffice
    """The system of record that `settings.services` names."""
    working: Callable[[Settings], AbstractAsyncContextManager[object]]
    """Runs a worker with these settings until the end of the block: their task queue, their agents."""
