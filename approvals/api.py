"""The same protocol as JSON, for the command line and for other front ends. The token comes in a header only."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import Field
from starlette.exceptions import HTTPException

from approvals.decide import Decide, Decided, Forbidden, NoSuchRequest, NotCast, Outcome, Stands, decide
from approvals.roles import ApiNeeds
from approvals.services import Services, services_of
from approvals.sign_in import TOO_MANY, admit
from approvals.visitors import Visitor
from approvals.words import REFUSALS
from contracts.approval import ApprovalView
from contracts.base import Digest, Record
from contracts.decision import Requirement
from contracts.vote import Verdict, VoteRefusal
from store.approval_lists import RequestPage, RequestQuery, list_requests
from store.approvals import find_request
from store.attention import note_views
from store.votes import StoredVote, votes_on

__all__ = ["DecisionReply", "RequestReply", "SignIn", "SignedIn", "VoteLine", "router"]

RequestId = Annotated[str, Path(pattern=r"^apr-[a-z2-7]{26}$")]
Parts = Annotated[Services, Depends(services_of)]
_FORBIDDEN = "Your account may look at requests, not decide them. Ask an administrator for the role approve."

router = APIRouter(prefix="/api")


class SignIn(Record):
    """Credentials of a local account."""

    tenant: str = Field(max_length=100)
    """The organisation."""
    username: str = Field(max_length=200)
    password: str = Field(max_length=1_000)


class SignedIn(Record):
    """A session."""

    token: str
    """Goes into `Authorization: Bearer <token>`. A secret."""
    tenant: str
    username: str
    display_name: str


class VoteLine(Record):
    """What somebody decided."""

    person: str
    display_name: str
    verdict: Verdict
    reason: str
    state: Literal["pending", "accepted", "refused"]
    """What the run has said."""
    refusal: VoteRefusal | None
    cast_at: datetime


class RequestReply(Record):
    """One request."""

    request_id: str
    run_id: str
    state: str
    tier: int
    digest: Digest
    """What a decision must carry."""
    requirement: Requirement
    interested: tuple[str, ...]
    """Persons who may not decide."""
    opened_at: datetime
    sla_at: datetime
    expires_at: datetime
    view: ApprovalView | None
    """What is asked; null when the stored view is damaged, then it can only be denied."""
    votes: tuple[VoteLine, ...]


class DecisionReply(Record):
    """What became of a decision."""

    outcome: Literal["decided", "stands", "refused", "forbidden"]
    """`stands`: an earlier vote of this person is on record and holds; `refused`: nothing was signed."""
    vote: VoteLine | None = None
    refusal: VoteRefusal | None = None
    message: str = ""
    """What to do, of a refusal."""


Caller = Annotated[Visitor, Depends(ApiNeeds("view"))]
Anybody = Annotated[Visitor, Depends(ApiNeeds(None))]
Decider = Annotated[Visitor, Depends(ApiNeeds("approve"))]


@router.post("/sign-in")
async def api_sign_in(services: Parts, request: Request, body: SignIn) -> SignedIn:
    """Start a session."""
    account = await admit(services, request, body.tenant, body.username, body.password)
    if isinstance(account, str):
        raise HTTPException(429 if account == TOO_MANY else 401, account)
    token = await services.desk.start(account)
    return SignedIn(token=token, tenant=account.tenant, username=account.username, display_name=account.display_name)


@router.post("/sign-out", status_code=204)
async def api_sign_out(services: Parts, caller: Anybody) -> None:
    """End the session."""
    await services.desk.end(caller.token)


@router.get("/approvals")
async def api_list(
    services: Parts,
    caller: Caller,
    state: Literal["open", "history"] = "open",
    scope: Literal["mine", "groups", "all"] = "mine",
    after: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 25,
) -> RequestPage:
    """Requests, page by page."""
    query = RequestQuery(reader=caller.reader, state=state, scope=scope, after=after, limit=limit)
    try:
        async with services.database.tenant(caller.tenant) as cursor:
            return await list_requests(cursor, caller.tenant, query)
    except ValueError as error:
        raise HTTPException(400, str(error)) from error


@router.get("/approvals/{request_id}")
async def api_show(services: Parts, caller: Caller, request_id: RequestId) -> RequestReply:
    """One request with its digest."""
    async with services.database.tenant(caller.tenant) as cursor:
        request = await find_request(cursor, caller.tenant, request_id)
        if request is None:
            raise HTTPException(404, "There is no such request.")
        votes = await votes_on(cursor, caller.tenant, request_id)
        await note_views(cursor, caller.tenant, [request_id], caller.session.person)
    is_over = request.state == "open" and request.expires_at <= request.read_at
    return RequestReply(
        request_id=request.request_id,
        run_id=request.run_id,
        state="expired" if is_over else request.state,
        tier=request.tier,
        digest=request.digest,
        requirement=request.requirement,
        interested=request.interested,
        opened_at=request.opened_at,
        sla_at=request.sla_at,
        expires_at=request.expires_at,
        view=ApprovalView.model_validate_json(request.view) if request.is_intact() else None,
        votes=tuple(_line(vote) for vote in votes),
    )


@router.post("/approvals/{request_id}/decision")
async def api_decide(services: Parts, caller: Decider, request_id: RequestId, body: Decide) -> DecisionReply:
    """Decide what the digest says. A refusal is an answer, not an error of the request."""
    return _reply(await decide(services, caller, request_id, body))


def _reply(outcome: Outcome) -> DecisionReply:
    match outcome:
        case Decided(vote=vote):
            return DecisionReply(outcome="decided", vote=_line(vote), refusal=vote.refusal, message=_message(vote))
        case Stands(vote=vote):
            return DecisionReply(outcome="stands", vote=_line(vote), message="You had decided this before.")
        case NotCast(refusal=refusal):
            return DecisionReply(outcome="refused", refusal=refusal, message=REFUSALS[refusal])
        case Forbidden():
            return DecisionReply(outcome="forbidden", message=_FORBIDDEN)
        case NoSuchRequest():
            raise HTTPException(404, "There is no such request.")


def _message(vote: StoredVote) -> str:
    return REFUSALS[vote.refusal] if vote.refusal else ""


def _line(vote: StoredVote) -> VoteLine:
    return VoteLine(**{name: getattr(vote, name) for name in VoteLine.model_fields})
