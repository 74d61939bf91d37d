"""How a run ends."""

from collections.abc import Mapping
from enum import StrEnum

from pydantic import Field

from contracts.base import JsonObject, Micros, Record, RunId, is_empty

__all__ = ["EscalationPacket", "Outcome", "OutcomeReason", "ReportContent", "RunReport", "RunTotals"]


def _is_zero(value: object) -> bool:
    return value == 0


class Outcome(StrEnum):
    """Exactly one per run."""

    COMPLETED = "completed"
    ESCALATED = "escalated"
    """Handed to a person, with a packet. A normal outcome."""
    FAILED_SAFE = "failed_safe"
    """Ended by a fault with nothing half done that is not in the packet."""
    CANCELLED = "cancelled"


class OutcomeReason(StrEnum):
    """Why it ended so."""

    DONE = "done"
    HANDED_OVER = "handed_over"
    """The agent asked for a person."""
    MALFORMED_OUTPUT = "malformed_output"
    REFUSED_BY_MODEL = "refused_by_model"
    LIMIT_REACHED = "limit_reached"
    LOOP = "loop"
    """It went in circles; the detail names what repeated."""
    NO_MODEL = "no_model"
    DENIED = "denied"
    """Policy denied a call, and the agent declares that a denial ends its run."""
    TAKEN_OVER = "taken_over"
    """An approver took it over instead of deciding."""
    APPROVAL_DENIED = "approval_denied"
    APPROVAL_EXPIRED = "approval_expired"
    EFFECT_UNKNOWN = "effect_unknown"
    """It cannot be known whether a write happened; the effect is in the unknown queue."""
    HALTED = "halted"
    """A kill switch or a disabled agent."""
    POSTCONDITION_FAILED = "postcondition_failed"
    STORE_DOWN = "store_down"
    NOT_ADMITTED = "not_admitted"
    """No matching inbox or parent row, or an invalid definition."""
    REQUESTED = "requested"
    """Cancelled on request."""
    RUN_GONE = "run_gone"
    """Its workflow ended without closing it: terminated, failed, or gone from Temporal."""
    ENGINE_FAULT = "engine_fault"
    """A fault of this software."""

    def in_words(self) -> str:
        """A sentence for people."""
        return _REASONS[self]


_REASONS: Mapping[OutcomeReason, str] = {
    OutcomeReason.DONE: "It did what it was asked for.",
    OutcomeReason.HANDED_OVER: "The agent asked for a person.",
    OutcomeReason.MALFORMED_OUTPUT: "The model's answers could not be used.",
    OutcomeReason.REFUSED_BY_MODEL: "The model refused the job.",
    OutcomeReason.LIMIT_REACHED: "It met one of its limits.",
    OutcomeReason.LOOP: "It went in circles.",
    OutcomeReason.NO_MODEL: "No model could be had.",
    OutcomeReason.DENIED: "Policy denied what it wanted to do.",
    OutcomeReason.TAKEN_OVER: "An approver took it over.",
    OutcomeReason.APPROVAL_DENIED: "People denied what it wanted to do.",
    OutcomeReason.APPROVAL_EXPIRED: "Nobody decided in time.",
    OutcomeReason.EFFECT_UNKNOWN: "Nobody knows whether one of its writes happened.",
    OutcomeReason.HALTED: "It was stopped: by a kill switch, or because its agent is disabled.",
    OutcomeReason.POSTCONDITION_FAILED: "It said that it was done, and the agent's own check found that it was not.",
    OutcomeReason.STORE_DOWN: "The database could not be reached.",
    OutcomeReason.NOT_ADMITTED: "It was not let in: nothing vouched for it, or its agent's definition was invalid.",
    OutcomeReason.REQUESTED: "Somebody ended it.",
    OutcomeReason.RUN_GONE: "Its workflow ended without closing it.",
    OutcomeReason.ENGINE_FAULT: "Countersign itself failed. Tell the operator of this installation.",
}


class RunTotals(Record):
    """What a run used."""

    steps: int = Field(default=0, ge=0)
    model_calls: int = Field(default=0, ge=0)
    tool_calls: int = Field(default=0, ge=0)
    tokens: int = Field(default=0, ge=0)
    micros: Micros = 0
    """Model cost in micro-dollars."""
    effects: int = Field(default=0, ge=0)
    """Writes that succeeded."""
    unknown: int = Field(default=0, ge=0)
    """Writes of which it is not known whether they happened."""
    people_s: int = Field(default=0, ge=0, exclude_if=_is_zero)
    """Time that people spent on its requests until they decided, in seconds; bounded, as only page loads are seen."""


class EscalationPacket(Record):
    """What a person needs to go on."""

    goal: str
    """The event in short."""
    why: str
    """What stopped the run, in a sentence."""
    needed: str
    """What the person should decide or do, in words of this software."""
    model_asks: str = Field(default="", max_length=8_000, exclude_if=is_empty)
    """What the model asked the person for, in its own words: not verified, and perhaps what an outsider told it."""
    steps: tuple[str, ...] = Field(max_length=200)
    """What was tried, one line each, oldest first."""
    effects: tuple[JsonObject, ...] = Field(max_length=200)
    """Writes with their states, so that nobody repeats one."""
    blocked_by: tuple[str, ...] = Field(max_length=50)
    """Policies, limits or faults that blocked, with their reasons."""


class ReportContent(Record):
    """The part of a report that may hold personal data."""

    summary: str = Field(default="", max_length=8_000)
    packet: EscalationPacket | None = None


class RunReport(Record):
    """Result of the `AgentRun` workflow."""

    run_id: RunId
    outcome: Outcome
    reason: OutcomeReason
    totals: RunTotals
    content: ReportContent
