"""Delegations: an approver is away, and somebody else decides in their place until they are back."""

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, Field

from contracts.base import Record

__all__ = ["Delegation", "NewDelegation"]


class NewDelegation(Record):
    """A delegation to be made."""

    approver: str = Field(min_length=1, max_length=127)
    """Account of who is away."""
    delegate: str = Field(min_length=1, max_length=127)
    """Account of who decides meanwhile."""
    from_at: AwareDatetime | None = None
    """None, or past: from now on."""
    until_at: AwareDatetime
    reason: str = Field(max_length=500, pattern=r"^[^\x00]*$")
    """Why; everybody sees it."""


class Delegation(Record):
    """One delegation as stored."""

    delegation_id: str
    approver: str
    """Account of who is away."""
    approver_name: str
    delegate: str
    """Account of who decides meanwhile."""
    delegate_name: str
    from_at: datetime
    until_at: datetime
    reason: str
    created_by: str
    """Person; so is `ended_by`."""
    created_at: datetime
    ended_at: datetime | None
    """When somebody ended it before its time."""
    ended_by: str | None
    state: Literal["planned", "in_force", "over", "ended"]
    """By the store's clock."""
