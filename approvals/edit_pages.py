"""The page on which an approver changes a call's arguments: typed, shown once more, then signed."""

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import ValidationError
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from approvals.decide import Decide, Decided, NotCast, Outcome, Stands, Unusable, decide
from approvals.editing import inputs_of, problems_of, read_inputs
from approvals.presenting import present
from approvals.roles import PageNeeds, PostNeeds
from approvals.services import Services, services_of
from approvals.values import changes_of
from approvals.visitors import Visitor
from approvals.words import DID, REFUSALS
from contracts.base import JsonObject
from contracts.vote import Verdict
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
    request, schema = await _editable(services, visitor, request_id)
    return _page(services, visitor, request, schema, None)


@router.post("/requests/{request_id}/edit")
async def post_edit(services: Parts, visitor: Poster, request_id: RequestId, sent: Request) -> Response:
    """Show what would change; of one who has seen that, sign it. Then the next request, as soon as there is one."""
    form = await sent.form()
    request, schema = await _editable(services, visitor, request_id)
    typed = {name.removeprefix(_PREFIX): str(value) for name, value in form.items() if name.startswith(_PREFIX)}
    before = present(request, (), now=request.read_at).view
    arguments = before.arguments if before else {}
    edited, problems = read_inputs(schema, arguments, typed)
    problems = problems or problems_of(schema, arguments, edited)
    try:
        posted = _posted(form, edited)
    except ValidationError:
        problems = problems or {"": "Say why you change it, in 3 to 2,000 characters of text."}
        return _page(services, visitor, request, schema, form, problems=problems)
    if problems or form.get("sure") != "yes":
        return _page(services, visitor, request, schema, form, problems=problems, edited=None if problems else edited)
    outcome = await decide(services, visitor, request_id, posted)
    if isinstance(outcome, Decided) and outcome.vote.state == "accepted":
        return RedirectResponse(f"/requests/{await _next(services, visitor, request_id)}", 303)
    if isinstance(outcome, Decided) or (isinstance(outcome, Stands) and outcome.vote.verdict is Verdict.EDIT):
        return RedirectResponse(f"/requests/{request_id}", 303)
    return _page(services, visitor, request, schema, form, problems=_problems(outcome))


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


async def _editable(services: Services, visitor: Visitor, request_id: str) -> tuple[StoredRequest, JsonObject]:
    """The request, if there is one whose arguments can be edited, and what they have to look like."""
    async with services.database.tenant(visitor.tenant) as cursor:
        request = await find_request(cursor, visitor.tenant, request_id)
        basis = request.read_basis if request and request.is_intact() else None
        schema = await find_schema(cursor, visitor.tenant, basis.schema_digest) if basis else None
    if request is None or basis is None or schema is None or Verdict.EDIT not in basis.choices:
        raise HTTPException(404, "There is no such request, or its arguments cannot be edited.")
    return request, schema


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
    request: StoredRequest,
    schema: JsonObject,
    form: FormData | None,
    *,
    problems: dict[str, str] | None = None,
    edited: JsonObject | None = None,
) -> Response:
    page = present(request, (), now=request.read_at)
    arguments = page.view.arguments if page.view else {}
    typed = (
        {name.removeprefix(_PREFIX): str(value) for name, value in form.items() if name.startswith(_PREFIX)}
        if form
        else None
    )
    values = {
        "visitor": visitor,
        "page": page,
        "inputs": inputs_of(schema, arguments, typed),
        "problems": problems or {},
        "reason": str(form.get("reason", "")) if form else "",
        "delegation": str(form.get("delegation", "")) if form else "",
        "digest": str(form.get("digest", "")) if form else request.digest,
        "changes": [one for one in changes_of(arguments, edited) if one.changed] if edited is not None else [],
    }
    return services.assets.page("edit.html", values, 422 if problems else 200)
