"""Votes: what an approver decided, bound to exactly what was shown, signed by the approvals service."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from contracts.base import Digest, GroupName, Record, RunId, TenantId, is_none
from contracts.decision import Requirement

__all__ = [
    "MAX_EDITS",
    "PLAIN_CHOICES",
    "Delegated",
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
    """What an approver said. All but an approval end the request; none but a quorum of approvals lets the call run."""

    APPROVE = "approve"
    DENY = "deny"
    EDIT = "edit"
    """With these arguments instead: validated, decided by policy and put before people anew."""
    ASK = "ask"
    """A question to the model, as the call's answer; it may propose the call again."""
    HAND_OVER = "hand_over"
    """A person goes on: the run ends."""


PLAIN_CHOICES = (Verdict.APPROVE, Verdict.DENY)
"""What can be said to every request."""
MAX_EDITS = 5
"""How often people may edit one call."""


class Delegated(Record):
    """For whom a delegate decides."""

    delegation_id: str = Field(pattern=r"^dlg-[a-z2-7]{26}$")
    """The delegation under which the delegate does."""
    approver: str = Field(max_length=200)
    """Account of the approver who named the delegate."""
    person: str = Field(max_length=200)
    """The human being behind it, whose place the vote takes."""
    display_name: str = Field(max_length=200)


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
    """Why; of `ask` the question. Required for everything but an approval, and for that at tier 4."""
    seen: Digest | None = Field(default=None, exclude_if=is_none)
    """Digest of the page, byte for byte, that the approver saw; none where another front end showed the view."""
    edited: Digest | None = Field(default=None, exclude_if=is_none)
    """Of an edit: digest of the canonical arguments that the approver wrote."""
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
    """Memberships when the vote was cast; of a delegate's vote, those of the approver for whom it is cast."""
    authenticated_at: int = Field(ge=0)
    """When the approver last proved who they are, Unix seconds."""
    strength: Literal["password", "multi_factor"]
    """How they proved it."""
    voted_at: int = Field(ge=0)
    """Unix seconds."""
    expires_at: int = Field(ge=0)
    """After this the vote is worthless, Unix seconds."""
    delegated: Delegated | None = Field(default=None, exclude_if=is_none)
    """For whom the person votes, if not for themselves."""
    assertion: Digest | None = Field(default=None, exclude_if=is_none)
    """Digest of what the person's own authenticator signed (`Assertion`); none where no passkey was asked for."""

    @property
    def persons(self) -> frozenset[str]:
        """Everybody whose one vote this is, in small letters: who casts it, and for whom."""
        names = (self.person, *((self.delegated.person,) if self.delegated else ()))
        return frozenset(name.casefold() for name in names)

    @model_validator(mode="after")
    def _edits_or_not(self) -> Self:
        if (self.verdict is Verdict.EDIT) is (self.edited is None):
            msg = "an edit, and nothing else, names edited arguments"
            raise ValueError(msg)
        return self


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
    NOT_YET = "not_yet"
    """The approver's group may decide only once the request is escalated to it."""
    NOT_DELEGATED = "not_delegated"
    """The delegation is not, not yet or no longer in force."""
    SAME_PERSON = "same_person"
    REASON_MISSING = "reason_missing"
    INTERESTED_PARTY = "interested_party"
    NOT_OFFERED = "not_offered"
    """This request cannot be answered so."""
    NOT_AS_SEEN = "not_as_seen"
    """The form does not name the page as it is now: of an older version of it, or of none."""
    CO_AUTHOR = "co_author"
    """The approver edited what would run, and somebody else must approve that."""
    STALE_SIGN_IN = "stale_sign_in"
    """The approver signed in too long before the vote."""
    WEAK_SIGN_IN = "weak_sign_in"
    """At the highest tier: the approver's provider saw no more than a password."""
    PASSKEY_MISSING = "passkey_missing"
    """The approver has a passkey, and this decision must be signed with it, on its page."""
    PASSKEY_NEEDED = "passkey_needed"
    """This decision must be signed with a passkey, and the approver has none."""
    PASSKEY_REFUSED = "passkey_refused"
    """What the passkey signed does not hold for this decision."""


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
