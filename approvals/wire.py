"""What programs post to the API and get from it: the service and the command line read and write the same."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from approvals.standing_words import StandingView
from contracts.approval import ApprovalView, Escalation
from contracts.base import Digest, JsonObject, Record
from contracts.call import EffectState
from contracts.command import Order
from contracts.decision import Requirement
from contracts.delegation import Delegation
from contracts.vote import Verdict, VoteRefusal
from store.accounts import Role
from store.api_tokens import ApiToken, Scope
from store.passkey_challenges import KeptAssertion
from store.seen import SeenPage
from store.standing import StandingUsed

__all__ = [
    "GRANT_TYPE",
    "AssertionsReply",
    "Closed",
    "Decide",
    "DecideStanding",
    "DecisionReply",
    "DelegationList",
    "DeviceCode",
    "DeviceToken",
    "DoubtVerdict",
    "GiveOrder",
    "Me",
    "Mistake",
    "NewToken",
    "OrderReply",
    "Problem",
    "RequestReply",
    "ResolveDoubt",
    "RevokeToken",
    "SeenReply",
    "StandingReply",
    "TokenMade",
    "VoteLine",
]

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
DoubtVerdict = Literal["happened", "did_not_happen", "abandon"]
Text = Annotated[str, StringConstraints(max_length=2_000, strip_whitespace=True, pattern=r"^[^\x00]*$")]
"""What a person writes."""
Line = Annotated[
    str, StringConstraints(min_length=3, max_length=200, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]*$")
]
"""The same within one line."""


class Decide(Record):
    """A decision as posted."""

    verdict: Verdict
    reason: Text = ""
    """Why; of `ask` the question. Required for all but an approval, and at tier 4 for that too."""
    arguments: JsonObject | None = None
    """Of an edit: all arguments as they shall be."""
    digest: Digest
    """Digest of what was shown: it must be what would run."""
    delegation: Annotated[str, StringConstraints(pattern=r"^(dlg-[a-z2-7]{26})?$")] = ""
    """Delegation under which one decides for somebody else; empty: for oneself."""

    @model_validator(mode="after")
    def _edits_or_not(self) -> Self:
        if (self.verdict is Verdict.EDIT) is (self.arguments is None):
            raise ValueError("an edit, and nothing else, has arguments")
        return self


class VoteLine(Record):
    """What somebody decided."""

    person: str
    display_name: str
    verdict: Verdict
    reason: str
    state: Literal["pending", "accepted", "refused"]
    """What the run has said."""
    refusal: VoteRefusal | None
    for_person: str
    """Of a delegate: for whom; empty where the person decided for themselves."""
    for_name: str
    cast_at: datetime


class RequestReply(Record):
    """One request."""

    request_id: str
    run_id: str
    state: Literal["open", "granted", "denied", "expired", "voided"]
    tier: int
    digest: Digest
    """What a decision must carry: SHA-256 of `basis_text`."""
    requirement: Requirement
    interested: tuple[str, ...]
    """Persons who may not decide."""
    opened_at: datetime
    sla_at: datetime
    """When an answer was promised."""
    expires_at: datetime
    escalations: tuple[Escalation, ...]
    """Groups that may decide in the place of those that are asked, and from when."""
    choices: tuple[Verdict, ...]
    """What can be decided: `edit` where the arguments may be changed, `ask` where there is a model to ask."""
    arguments_schema: JsonObject | None
    """JSON Schema of the arguments, for an edit; null where they cannot be edited."""
    view: ApprovalView | None
    """What is asked; null when the stored view is damaged, then it can only be denied or handed over."""
    view_text: str
    """`view` as canonical JSON, byte for byte as stored: its SHA-256 is `view_digest` in `basis_text`."""
    basis_text: str
    """What an approval holds for, as canonical JSON (`ApprovalBasis`)."""
    votes: tuple[VoteLine, ...]


class SeenReply(Record):
    """Pages as approvers saw them."""

    pages: tuple[SeenPage, ...]
    """Oldest first; empty while nobody has decided in a browser."""


class DecisionReply(Record):
    """What became of a decision."""

    outcome: Literal["decided", "stands", "refused", "unusable", "forbidden"]
    """`stands`: an earlier vote of this person is on record and holds; `refused`: nothing was signed; `unusable`: nor
    was it, because edited arguments are wrong."""
    vote: VoteLine | None = None
    refusal: VoteRefusal | None = None
    message: str = ""
    """What to do, of a refusal; of a test request, that it was one."""
    problems: dict[str, str] = Field(default_factory=dict)
    """What is wrong with edited arguments, by argument; under an empty name, with all of them."""


class AssertionsReply(Record):
    """What approvers' own authenticators signed."""

    assertions: tuple[KeptAssertion, ...]
    """Oldest first; empty where nobody decided with a passkey."""


class DelegationList(Record):
    """Delegations that are planned or in force."""

    delegations: tuple[Delegation, ...]


class DecideStanding(Record):
    """A decision about one, as posted."""

    verdict: Literal[Verdict.APPROVE, Verdict.DENY]
    reason: Text = ""
    """Required: it is decided like what cannot be undone."""
    digest: Digest
    """Digest of the terms that were shown."""


class StandingReply(Record):
    """One of them, with what people said and each use."""

    view: StandingView
    uses: tuple[StandingUsed, ...]
    refusal: VoteRefusal | None = None
    """Of a decision: why nothing was signed."""
    message: str = ""
    """What to do, of a refusal."""


class GiveOrder(Record):
    """An order as posted."""

    order: Order
    reason: Text
    """Why; it is recorded."""
    nonce: str = Field(default="", max_length=64)
    """The same for the same press of a button: a form that is sent twice gives one order."""


class OrderReply(Record):
    """What became of an order."""

    command_id: str
    state: str = Field(pattern=r"^(pending|accepted|refused)$")
    """What the run has said so far; `pending`: it is sent again until the run answers."""
    refusal: str = ""


class ResolveDoubt(Record):
    """What somebody says of a write in doubt."""

    verdict: DoubtVerdict
    reason: Text
    """How they know; recorded."""
    cannot_arrive: bool = False
    """The second statement, of `did_not_happen`: what was sent cannot arrive any more, its credential or not."""
    output: JsonObject | None = None
    """Of `happened`: what the service answered, where it is known. Without it the deed cannot be undone by machine."""


class Closed(Record):
    """The doubt is closed, and its chain says by whom."""

    kind: Literal["closed"] = "closed"
    state: EffectState
    run_told: Literal["run_over", "told", "will_be_told"]
    """`will_be_told`: the run looks at the ledger by itself within minutes; its order is on the way too."""


class DeviceCode(Record):
    """What a program needs to be signed in."""

    device_code: str
    """A secret of the program's: it polls with it."""
    user_code: str
    """What it shows, and the person types."""
    verification_uri: str
    """Where the person types it."""
    verification_uri_complete: str
    """The same with the code filled in, for a link or a picture of one. Nothing happens there without two taps."""
    expires_in: int
    """Seconds."""
    interval: int
    """Seconds between two polls."""


class DeviceToken(Record):
    """The session of the person who let the program in."""

    access_token: str
    """Goes into `Authorization: Bearer <token>`. A secret."""
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the word of RFC 6750
    expires_in: int
    """Seconds until it ends, whatever happens; unused it ends after 30 minutes."""
    scope: str
    """Roles that it may use of the person's."""
    tenant: str
    username: str
    display_name: str


class Me(Record):
    """Whose token it is."""

    kind: Literal["person", "machine"]
    tenant: str
    name: str
    """The account's user name, or what the token is for."""
    display_name: str
    person: str = ""
    """The human being."""
    groups: tuple[str, ...] = ()
    """Groups that policies name."""
    roles: tuple[Role, ...] = ()
    """What a person may do."""
    scopes: tuple[Scope, ...] = ()
    """What a machine may do."""
    authenticated_at: datetime | None = None
    """When the person proved who they are: a decision at tier 4 needs this to be less than 15 minutes ago."""
    expires_at: datetime
    """When the token ends, whatever happens."""


class NewToken(Record):
    """A machine's token to make."""

    name: Line
    """What it is for, such as the program and its owner."""
    scopes: tuple[Scope, ...] = Field(min_length=1, max_length=3)
    """What it may do. No scope lets it decide."""
    days: int = Field(default=90, ge=1, le=366)
    """How long it lives."""


class TokenMade(Record):
    """A new token."""

    token: str
    """The token itself, shown this once: nobody can show it again."""
    kept: ApiToken
    """What is kept of it."""


class RevokeToken(Record):
    """Why a token ends."""

    reason: Line


class Mistake(Record):
    """One part of a request that is not as it must be."""

    where: str = Field(max_length=300)
    """Such as `query.limit` or `body.digest`."""
    why: str = Field(max_length=500)


class Problem(Record):
    """Why a request was not answered (RFC 9457)."""

    type: str = "about:blank"
    title: str
    """The status in words."""
    status: int
    detail: str
    """What is wrong and what to do; empty when the title says it."""
    errors: tuple[Mistake, ...] = ()
    """Of status 422: each part that is wrong."""
    error: str | None = None
    """The code of RFC 6749 or RFC 8628, where a program is signed in; elsewhere there is none."""
