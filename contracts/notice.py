"""Notices to people about an approval request: what happened, and nothing of what it is about."""

from enum import StrEnum

from pydantic import Field

from contracts.base import GroupName, Record, RunId, TenantId

__all__ = ["NoticeKind", "NoticesSent", "SendNotices"]


class NoticeKind(StrEnum):
    """What people are told."""

    REQUESTED = "requested"
    """A decision is wanted."""
    REMINDER = "reminder"
    """It is still wanted, and overdue."""
    ESCALATED = "escalated"
    """Nobody of those who were asked has decided: others may now."""
    EXPIRED = "expired"
    """Nobody decided in time; the run ended safely."""
    PASSKEYS = "passkeys"
    """A passkey of the person's own account was added or removed. Not about a request."""


class SendNotices(Record):
    """Input of the `send_notices` activity. Of an escalation `groups` are those that may decide from now on."""

    tenant: TenantId
    run_id: RunId
    request_id: str = Field(max_length=64)
    kind: NoticeKind
    groups: tuple[GroupName, ...] = Field(max_length=30)
    """Groups that are told: channels that serve none of them stay silent."""


class NoticesSent(Record):
    """Result of the `send_notices` activity."""

    request_id: str
    kind: NoticeKind
    channels: tuple[str, ...]
    """Names of the channels that took the notice, now or in an earlier attempt."""
