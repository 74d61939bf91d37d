"""The page on which an approver changes a call's arguments: typed, shown once more, then signed."""

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import ValidationError
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from approvals.decide import Decided, NotCast, Outcome, Stands, Unusable, decide
from approvals.delegates import Place, places_for
from approvals.editing import inputs_of, problems_of, read_inputs
from approvals.passkey_proofs import MAX_POSTED, Signing, signing
from approvals.presenting import RequestView, present
from approvals.roles import PageNeeds, PostNeeds
from approvals.seen import Sight, seen_edit
from approvals.services import Services, services_of
from approvals.values import changes_of
from approvals.visitors import Visitor
from approvals.wire import Decide
from approvals.words import DID, REFUSALS
from contracts.base import JsonObject
from contracts.canonical import digest, digest_bytes
from contracts.vote import Verdict, VoteRefusal
from store.approvals import StoredRequest, find_request
from store.revisions import find_schema, following_request

__all__ = ["router"]

RequestId = Annotated[str, Path(pattern=r"^apr-[a-z2-7]{26}$")]
Parts = Annotated[Services, Depends(services_of)]
Reader = Annotated[Visitor, Depends(PageNeeds("approve"))]
Poster = Annotated[Visitor, Depends(PostNeeds("approve"))]
_FOLLOWS_WITHIN_S = 3.0
_LOOK_S = 0.1
_PREFIX = "argument."

router = APIRouter(include_in_schema=False)


@router.get("/requests/{request_id}/edit")
async def show_edit(services: Parts, visitor: Reader, request_id: RequestId) -> Response:
    """The form, with the arguments as they are asked."""
    return _page(services, visitor, await _editable(services, visitor, request_id), None)


@router.post("/requests/{request_id}/edit")
async def post_edit(services: Parts, visitor: Poster, request_id: RequestId, sent: Request) -> Response:
    """Show what would change; of one who has seen that, sign it. Then the next request, as soon as there is one."""
    form = await sent.form()
    asked = await _editable(services, visitor, request_id)
    edited, problems = read_inputs(asked.schema, asked.arguments, _typed(form))
    problems = problems or problems_of(asked.schema, asked.arguments, edited)
    try:
        posted = _posted(form, edited)
    except ValidationError:
        problems = problems or {"": "Say why you change it, in 3 to 2,000 characters of text."}
        return _page(services, visitor, asked, form, problems=problems)
    if problems or form.get("sure") != "yes":
        return _page(services, visitor, asked, form, problems=problems, edited=None if problems else edited)
    sight = Sight(str(form.get("seen", "")), lambda one: seen_edit(services.assets, one, edited, posted.reason))
    answer = str(form.get("answer", ""))[:MAX_POSTED]
    outcome = await decide(services, visitor, request_id, posted, sight, answer)
    if isinstance(outcome, Decided) and outcome.vote.state == "accepted":
        return RedirectResponse(f"/requests/{await _next(services, visitor, request_id)}", 303)
    if isinstance(outcome, Decided) or (isinstance(outcome, Stands) and outcome.vote.verdict is Verdict.EDIT):
        return RedirectResponse(f"/requests/{request_id}", 303)
    unseen = outcome == NotCast(refusal=VoteRefusal.NOT_AS_SEEN)
    return _page(services, visitor, asked, form, problems=_problems(outcome), edited=edited if unseen else None)


def _typed(form: FormData) -> dict[str, str]:
    return {name.removeprefix(_PREFIX): str(value) for name, value in form.items() if name.startswith(_PREFIX)}


def _posted(form: FormData, edited: JsonObject) -> Decide:
    reason = str(form.get("reason", ""))
    return Decide.model_validate(
        {
            "verdict": Verdict.EDIT,
            "reason": reason,
            "arguments": edited,
            "digest": str(form.get("digest", "")),
            "delegation": str(form.get("delegation", "")),
        }
    )


def _problems(outcome: Outcome) -> dict[str, str]:
    match outcome:
        case Unusable(problems=problems):
            return problems
        case NotCast(refusal=refusal):
            return {"": REFUSALS[refusal]}
        case Stands(vote=vote):
            return {"": f"You have {DID[vote.verdict]} this request already. That decision stands."}
        case _:
            return {
                "": "Your account may look at requests, not decide them. Ask an administrator for the role approve."
            }


@dataclass(frozen=True)
class _Editable:
    """A request whose arguments can be edited."""

    request: StoredRequest
    page: RequestView
    arguments: JsonObject
    schema: JsonObject
    """What they have to look like."""
    places: tuple[Place, ...]
    """From which the visitor may decide it."""
    sign: Signing
    """With what they sign it."""


async def _editable(services: Services, visitor: Visitor, request_id: str) -> _Editable:
    async with services.database.tenant(visitor.tenant) as cursor:
        request = await find_request(cursor, visitor.tenant, request_id)
        basis = request.read_basis if request and request.is_intact() else None
        schema = await find_schema(cursor, visitor.tenant, basis.schema_digest) if basis else None
        places = await places_for(cursor, visitor.session, request) if request else ()
        tier = request.tier if request else 0
        sign = await signing(cursor, services.passkeys, visitor.session, tier)
    page = present(request, (), now=request.read_at) if request else None
    may_be_edited = basis is not None and Verdict.EDIT in basis.choices
    if request is None or page is None or page.view is None or schema is None or not may_be_edited:
        raise HTTPException(404, "There is no such request, or its arguments cannot be edited.")
    return _Editable(request, page, page.view.arguments, schema, places, sign)


async def _next(services: Services, visitor: Visitor, request_id: str) -> str:
    """The request that takes the place of the edited one, if it comes soon; else the edited one."""
    until = time.monotonic() + _FOLLOWS_WITHIN_S
    while True:
        async with services.database.tenant(visitor.tenant) as cursor:
            found = await following_request(cursor, visitor.tenant, request_id)
        if found is not None or time.monotonic() > until:
            return found or request_id
        await asyncio.sleep(_LOOK_S)


def _page(
    services: Services,
    visitor: Visitor,
    asked: _Editable,
    form: FormData | None,
    *,
    problems: dict[str, str] | None = None,
    edited: JsonObject | None = None,
) -> Response:
    reason = str(form.get("reason", "")).strip() if form else ""
    shown = seen_edit(services.assets, asked.request, edited, reason) if edited is not None else ""
    values = {
        "visitor": visitor,
        "page": asked.page,
        "places": asked.places,
        "inputs": inputs_of(asked.schema, asked.arguments, _typed(form) if form else None),
        "problems": problems or {},
        "reason": reason,
        "delegation": str(form.get("delegation", "")) if form else "",
        "digest": str(form.get("digest", "")) if form else asked.page.digest,
        "seen": digest_bytes(shown.encode()),
        "sign": asked.sign,
        "edited": digest(edited) if edited is not None else "",
        "changes": [one for one in changes_of(asked.arguments, edited) if one.changed] if edited is not None else [],
    }
    return services.assets.page("edit.html", values, 422 if problems else 200)
