"""Votes: what an approver decided, bound to exactly what was shown, signed by the approvals service."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from contracts.base import Digest, GroupName, Record, RunId, TenantId
from contracts.decision import Requirement

__all__ = [
    "Grant",
    "SignedVote",
    "Verdict",
    "Vote",
    "VoteAccepted",
    "VoteAnswer",
    "VotePending",
    "VoteRefusal",
    "VoteRefused",
]


class Verdict(StrEnum):
    """What an approver said."""

    APPROVE = "approve"
    DENY = "deny"


class Vote(Record):
    """The signed statement."""

    tenant: TenantId
    run_id: RunId
    """Also the Temporal workflow id."""
    request_id: str = Field(pattern=r"^apr-[a-z2-7]{26}$")
    """The approval request."""
    digest: Digest
    """Digest of what was shown: arguments, view, requirement, policies, tool version."""
    verdict: Verdict
    reason: str = Field(default="", max_length=2_000)
    """Required for a denial and at tier 4."""
    decision_id: str = Field(pattern=r"^dec-[a-z2-7]{26}$")
    """Unique per vote; makes redelivery harmless."""
    issuer: str = Field(max_length=200)
    """Who vouches for the approver's identity: `local` or an OIDC issuer."""
    subject: str = Field(max_length=200)
    """The approver's account, which belongs to one subject of the issuer."""
    person: str = Field(max_length=200)
    """The human being: accounts of one person share it."""
    display_name: str = Field(max_length=200)
    groups: tuple[GroupName, ...] = Field(max_length=100)
    """Memberships when the vote was cast."""
    authenticated_at: int = Field(ge=0)
    """When the approver last proved who they are, Unix seconds."""
    strength: Literal["password", "multi_factor"]
    """How they proved it."""
    voted_at: int = Field(ge=0)
    """Unix seconds."""
    expires_at: int = Field(ge=0)
    """After this the vote is worthless, Unix seconds."""


class SignedVote(Record):
    """A vote as carried by the signal."""

    jws: str = Field(max_length=16_384)
    """Compact JWS (Ed25519) whose payload is the vote's canonical JSON."""


class VoteRefusal(StrEnum):
    """Why a run does not count a vote."""

    BAD_SIGNATURE = "bad_signature"
    UNKNOWN_KEY = "unknown_key"
    MALFORMED = "malformed"
    WRONG_RUN = "wrong_run"
    UNKNOWN_REQUEST = "unknown_request"
    REQUEST_CLOSED = "request_closed"
    WRONG_DIGEST = "wrong_digest"
    EXPIRED = "expired"
    NOT_ELIGIBLE = "not_eligible"
    SAME_PERSON = "same_person"
    REASON_MISSING = "reason_missing"
    INTERESTED_PARTY = "interested_party"
    STALE_SIGN_IN = "stale_sign_in"
    """The approver signed in too long before the vote."""
    WEAK_SIGN_IN = "weak_sign_in"
    """At the highest tier: the approver's provider saw no more than a password."""


class VoteAccepted(Record):
    """The run counted the vote."""

    kind: Literal["accepted"] = "accepted"


class VoteRefused(Record):
    """The run did not count the vote; nothing changed."""

    kind: Literal["refused"] = "refused"
    refusal: VoteRefusal


class VotePending(Record):
    """The run has not seen the vote."""

    kind: Literal["pending"] = "pending"


VoteAnswer = Annotated[VoteAccepted | VoteRefused | VotePending, Field(discriminator="kind")]


class Grant(Record):
    """Enough accepted votes for a requirement: single use, bound to a digest, expiring."""

    request_id: str
    digest: Digest
    """What the approvers were shown."""
    requirement: Requirement
    votes: tuple[SignedVote, ...] = Field(min_length=1, max_length=20)
    """The signed votes themselves: the gate verifies them again."""
    expires_at: int
    """Unix seconds."""
