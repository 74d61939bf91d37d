"""Pauses of a run: written down when one begins and ends, so that people see them and audit can tell."""

from typing import Literal

from pydantic import Field

from contracts.base import Digest, Record, RunId, TenantId
from contracts.pause_state import OpenPause, Who
from contracts.run_activities import ActivityStub

__all__ = [
    "NOTE_ORDER",
    "PAUSE_RUN",
    "NoteOrder",
    "OrderNoted",
    "OrderObeyed",
    "PauseKept",
    "PauseRun",
    "RunPaused",
]


class PauseRun(Record):
    """Input of `pause_run`."""

    tenant: TenantId
    run_id: RunId
    definition: Digest
    step: int = Field(ge=0)
    pause: OpenPause


class PauseKept(Record):
    """Result of `pause_run`. It echoes the pause: history records results of local activities, not their inputs."""

    step: int
    pause: OpenPause
    state: Literal["paused", "free", "over"]
    """`free`: what halted it holds no more, so there is nothing to wait for. `over`: this pause has ended before."""


class NoteOrder(Record):
    """Input of `note_order`: an order was obeyed."""

    tenant: TenantId
    run_id: RunId
    definition: Digest
    step: int = Field(ge=0)
    order: Literal["resume", "end", "hand_over"]
    pause: int | None = Field(default=None, ge=1)
    """The pause that it ended."""
    by: Who


class OrderNoted(Record):
    """Result of `note_order`, with the order."""

    step: int
    order: Literal["resume", "end", "hand_over"]
    pause: int | None
    by: Who
    state: Literal["noted", "stored"]
    """`stored`: an earlier attempt wrote it."""


class RunPaused(Record):
    """Entry of the audit chain: the run waits."""

    step: int
    pause: OpenPause


class OrderObeyed(Record):
    """Entry of the audit chain: the run went on, or ended, on an operator's command."""

    step: int
    order: Literal["resume", "end", "hand_over"]
    pause: int | None
    by: Who


PAUSE_RUN = ActivityStub("pause_run", PauseRun, PauseKept)
NOTE_ORDER = ActivityStub("note_order", NoteOrder, OrderNoted)
