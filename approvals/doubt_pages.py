"""The unknown queue, for people and as JSON: writes of which nobody knows whether they happened; closing a doubt."""

import json
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from approvals.doubts import VERDICTS, NotClosed, line_of, resolve
from approvals.machines import Machine
from approvals.roles import ApiNeeds, ApiOpenTo, PageNeeds, PostNeeds
from approvals.services import Services, services_of
from approvals.visitors import Visitor
from approvals.wire import Closed, ResolveDoubt
from approvals.words import amount, at, duration
from contracts.call import EffectState
from store.doubts import EffectPlace, StoredEffect, effects_in, find_effect
from store.undo import orders_of

__all__ = ["api", "pages"]

RunIdPath = Annotated[str, Path(pattern=r"^run-[a-z2-7]{26}$")]
Number = Annotated[int, Path(ge=0, le=100_000)]
Parts = Annotated[Services, Depends(services_of)]
Viewer = Annotated[Visitor, Depends(PageNeeds("view"))]
Undoing = Annotated[Visitor, Depends(PostNeeds("undo"))]
ApiViewer = Annotated[Visitor | Machine, Depends(ApiOpenTo("view", "runs:read"))]
ApiUndoer = Annotated[Visitor, Depends(ApiNeeds("undo"))]

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api", tags=["runs"])


@pages.get("/doubts")
async def doubts_page(services: Parts, visitor: Viewer) -> Response:
    """The queue, oldest first."""
    async with services.database.tenant(visitor.tenant) as cursor:
        found = await effects_in(cursor, visitor.tenant, [EffectState.UNKNOWN], limit=200)
    values = {"visitor": visitor, "lines": [line_of(effect) for effect in found], "age": _age, "amount": amount}
    return services.assets.page("doubts.html", values)


@pages.get("/doubts/{run_id}/{step}/{call}")
async def doubt_page(services: Parts, visitor: Viewer, run_id: RunIdPath, step: Number, call: Number) -> Response:
    """One write: what was sent, what the service said when asked, and the form that closes the doubt."""
    return await _page(services, visitor, EffectPlace(visitor.tenant, run_id, step, call))


@pages.post("/doubts/{run_id}/{step}/{call}/resolution")
async def post_resolution(
    services: Parts,
    visitor: Undoing,
    run_id: RunIdPath,
    step: Number,
    call: Number,
    verdict: Annotated[str, Form(pattern=r"^(happened|did_not_happen|abandon)$")],
    reason: Annotated[str, Form(max_length=2_000)] = "",
    cannot_arrive: Annotated[str, Form(pattern=r"^(|yes)$")] = "",
) -> Response:
    """Close it. The answer to one that was closed is its page, so that reloading it posts nothing."""
    place = EffectPlace(visitor.tenant, run_id, step, call)
    try:
        posted = ResolveDoubt.model_validate(
            {"verdict": verdict, "reason": reason, "cannot_arrive": bool(cannot_arrive)}
        )
    except ValidationError:
        return await _page(
            services, visitor, place, problem="The reason has characters that cannot be kept.", status=422
        )
    match await resolve(services, visitor, place, posted):
        case Closed():
            return RedirectResponse(f"/doubts/{place}", 303)
        case NotClosed(code="no_such_effect"):
            raise HTTPException(404)
        case NotClosed(why=why):
            return await _page(services, visitor, place, problem=why, reason=posted.reason, status=409)


@api.get("/doubts")
async def api_doubts(services: Parts, caller: ApiViewer) -> list[StoredEffect]:
    """The queue, oldest first."""
    async with services.database.tenant(caller.tenant) as cursor:
        return list(await effects_in(cursor, caller.tenant, [EffectState.UNKNOWN], limit=200))


@api.post("/doubts/{run_id}/{step}/{call}/resolution", responses={409: {}})
async def api_resolve(
    services: Parts, caller: ApiUndoer, run_id: RunIdPath, step: Number, call: Number, body: ResolveDoubt
) -> Closed:
    """Close a doubt."""
    outcome = await resolve(services, caller, EffectPlace(caller.tenant, run_id, step, call), body)
    if isinstance(outcome, NotClosed):
        raise HTTPException(404 if outcome.code == "no_such_effect" else 409, outcome.why)
    return outcome


async def _page(
    services: Services, visitor: Visitor, place: EffectPlace, *, problem: str = "", reason: str = "", status: int = 200
) -> Response:
    async with services.database.tenant(visitor.tenant) as cursor:
        effect = await find_effect(cursor, place)
        if effect is None:
            raise HTTPException(404)
        orders = await orders_of(cursor, visitor.tenant, place.run_id)
    values = {
        "visitor": visitor,
        "line": line_of(effect),
        "effect": effect,
        "arguments": json.loads(effect.arguments),
        "output": json.loads(effect.output) if effect.output else None,
        "orders": orders,
        "verdicts": VERDICTS,
        "may_resolve": "undo" in visitor.session.roles and effect.state is EffectState.UNKNOWN,
        "problem": problem,
        "reason": reason,
        "age": _age,
        "at": at,
        "amount": amount,
    }
    return services.assets.page("doubt.html", values, status)


def _age(seconds: int) -> str:
    return duration(timedelta(seconds=seconds))
