"""Undoing a run: the plan that an operator is shown, and the turns of the run that carries it out."""

from typing import Literal

from pydantic import Field

from contracts.base import AgentName, Digest, JsonObject, Record, RunId, TenantId, ToolName, UserName
from contracts.call import EffectState
from contracts.run_activities import ActivityStub
from contracts.turn import CallModel, TurnHead

__all__ = ["PROPOSE_UNDO", "UNDO_PLANNER", "UNDO_SUFFIX", "UndoItem", "UndoOrdered", "UndoPlan", "undo_identity_of"]

UNDO_SUFFIX = "_undo"
UNDO_PLANNER = "undo planner (no model)"
"""What stands where the model that answered is named."""


def undo_identity_of(agent: str) -> str:
    """Name of the principal under which what an agent did is taken back. No agent's own name may end so."""
    return f"{agent}{UNDO_SUFFIX}"


class UndoItem(Record):
    """One write of the run, and what is to be done about it."""

    step: int = Field(ge=1)
    """Of the write."""
    call: int = Field(ge=0)
    tool: ToolName
    """What was done."""
    state: EffectState
    """As the ledger knows it."""
    amount_minor: int | None = None
    """Money that it moved, in minor units."""
    currency: str | None = None
    arguments: JsonObject
    """What it was done with. Content."""
    verdict: Literal["undo", "nothing", "cannot", "in_doubt", "undone"]
    """`undo`: it will be taken back; `nothing`: it never happened; `cannot`: there is no way back; `in_doubt`: nobody
    knows whether it happened, which must be found out first; `undone`: it was taken back before."""
    why: str = ""
    """Of everything but `undo`."""
    compensation: ToolName | None = None
    """Of `undo` and `undone`: the tool that takes it back."""
    compensation_arguments: JsonObject = Field(default_factory=dict)
    """Of `undo`. Content."""
    tier: int = 0
    """Of `undo`: declared risk tier of the compensation; policy decides who must agree."""

    @property
    def key(self) -> str:
        """Step and call, in words."""
        return f"step {self.step}, call {self.call}"


class UndoPlan(Record):
    """What undoing a run, or one step of it, comes to. The same again from the same ledger and the same tools."""

    tenant: TenantId
    of_run: RunId
    of_step: int | None
    """Only this step; None: the whole run."""
    agent: AgentName
    """Whose run it was."""
    items: tuple[UndoItem, ...] = Field(max_length=500)
    """In the order in which they are taken back: the newest write first."""

    @property
    def to_undo(self) -> tuple[UndoItem, ...]:
        """What will be taken back, in order."""
        return tuple(item for item in self.items if item.verdict == "undo")

    @property
    def in_doubt(self) -> tuple[UndoItem, ...]:
        """What must be found out first."""
        return tuple(item for item in self.items if item.verdict == "in_doubt")


class UndoOrdered(Record):
    """Audit entry, in the chain of the run that is undone."""

    undo_run: RunId
    of_step: int | None
    by: UserName
    person: str
    reason: str
    plan_digest: Digest


PROPOSE_UNDO = ActivityStub("propose_undo", CallModel, TurnHead)
"""The activity returns a whole `ModelTurn`, for the history; the run reads its head."""
