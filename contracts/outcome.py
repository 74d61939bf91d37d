"""How a run ends."""

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
    """The model asked for a person."""
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
