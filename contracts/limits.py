"""What a run does when it meets a limit or goes in circles: tell the model, keep to drafts, ask for a raise."""

from typing import Literal

from pydantic import Field

from contracts.base import Digest, Record, RunId, TenantId
from contracts.run_activities import ActivityStub, ApprovalOpened, ApprovalState
from contracts.vote import Grant

__all__ = [
    "NOTE_RUN",
    "OPEN_RAISE",
    "RAISE_TOOL",
    "SETTLE_RAISE",
    "LimitChanged",
    "NoteRun",
    "Noted",
    "OpenRaise",
    "RaiseOpened",
    "RaiseSettled",
    "SettleRaise",
]

RAISE_TOOL = "limits.raise"
"""What a request for a raise shows in the place of a tool. No agent has a tool of this name."""


class _OfRun(Record):
    tenant: TenantId
    run_id: RunId
    definition: Digest
    step: int = Field(ge=0)
    """The step that met it."""
    ordinal: int = Field(ge=1, le=10_000)
    """Which of the run's notes and raises: each is carried out once."""


class NoteRun(_OfRun):
    """Input of `note_run`."""

    kind: Literal["loop_warning", "drafts_only"]
    detail: str = Field(max_length=300)
    """What repeats, or the limit that was met. No personal data."""


class Noted(Record):
    """Result of `note_run`."""

    state: Literal["done", "stored", "closed"]
    """`stored`: an earlier attempt did it."""
    step: int
    kind: Literal["loop_warning", "drafts_only"]
    detail: str = Field(max_length=300)
    """Echoed, as is all below in this file: a history holds results of local activities, not their inputs."""


class OpenRaise(_OfRun):
    """Input of `open_raise`."""

    limit: str = Field(min_length=1, max_length=80)
    """As it was met, such as `tokens` or `agent_day.usd`."""


class RaiseOpened(Record):
    """Result of `open_raise`."""

    opened: ApprovalOpened | None
    """None: nobody can be asked."""
    refusal: str = ""
    """Why not."""


class SettleRaise(_OfRun):
    """Input of `settle_raise`."""

    limit: str = Field(min_length=1, max_length=80)
    request_id: str
    state: ApprovalState
    decision_ids: tuple[str, ...] = Field(max_length=20)
    grant: Grant | None = None
    """Of `granted`: its votes are verified again."""


class RaiseSettled(Record):
    """Result of `settle_raise`."""

    request_id: str
    limit: str
    granted: bool
    by: int = 0
    """How much was added, in base units of the limit."""
    refusal: str = ""
    """Why votes that the run counted do not hold."""


class LimitChanged(Record):
    """Entry of the audit chain: a run's limits changed, or the model was told about one."""

    step: int
    ordinal: int
    what: Literal["raised", "drafts_only", "loop_warning"]
    limit: str
    """The limit, or of a warning what repeats."""
    by: int = 0
    """Of a raise, in base units."""
    request_id: str = ""
    """Of a raise: the approval."""


NOTE_RUN = ActivityStub("note_run", NoteRun, Noted)
OPEN_RAISE = ActivityStub("open_raise", OpenRaise, RaiseOpened)
SETTLE_RAISE = ActivityStub("settle_raise", SettleRaise, RaiseSettled)
