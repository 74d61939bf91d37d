"""Break-glass: an emergency that two persons opened, and the workflow that sees to its end and its review."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from contracts.base import Record, TenantId

__all__ = ["BREAK_GLASS", "Emergency", "EmergencyState", "WatchEmergency", "Watched"]

BREAK_GLASS = "BreakGlass"
"""Name of the workflow; its id is `break-glass-<tenant>-<emergency>`."""
EmergencyState = Literal["requested", "open", "lapsed", "ended", "reviewed"]


class Emergency(Record):
    """One emergency as stored."""

    emergency_id: str
    scope: str
    agent: str
    tools: tuple[str, ...]
    lifts: tuple[str, ...]
    approvers: str
    """Group of the persons who open it."""
    minutes: int
    reason: str
    state: EmergencyState
    requested_by: str
    """Person; so are those below."""
    requested_at: datetime
    approved_by: tuple[str, ...]
    opened_at: datetime | None
    expires_at: datetime | None
    ended_at: datetime | None
    ended_by: str | None
    """None: its time was over, or it is not ended."""
    reviewed_by: str | None
    reviewed_at: datetime | None
    review: str | None


class WatchEmergency(Record):
    """Input of the workflow `BreakGlass` and of its activities."""

    tenant: TenantId
    emergency_id: str = Field(pattern=r"^emg-[a-z2-7]{26}$")
    expires_at: int
    """Unix seconds."""


class Watched(Record):
    """Result of the activities `end_emergency` and `remind_review`."""

    state: EmergencyState | Literal["gone"]
    """`gone`: it was never opened."""
