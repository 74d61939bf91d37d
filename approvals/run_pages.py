"""The page of one run: how it stands, the orders to it, who looked at it. Every look is written down."""

import secrets
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from approvals.operate import Given, NoSuchRun, NotGiven, give
from approvals.roles import PageNeeds, PostNeeds
from approvals.run_view import RunHead, run_view
from approvals.services import Services, services_of
from approvals.visitors import Visitor
from approvals.wire import GiveOrder
from approvals.words import ORDER_REFUSALS, REFUSALS, amount, at, duration
from contracts.outcome import RunReport
from contracts.trace import trace_of
from store.attention import people_seconds
from store.commands import commands_of
from store.decoy_runs import facts_of_decoy, run_of_decoy
from store.packet_ratings import ratings_of
from store.pauses import halted_by, open_pause
from store.run_facts import facts_of_run
from store.run_reads import log_read, reads_of
from store.runs import load_run
from store.standing import uses_in_run
from store.undo import orders_of

__all__ = ["router"]

RunIdPath = Annotated[str, Path(pattern=r"^run-[a-z2-7]{26}$")]
Parts = Annotated[Services, Depends(services_of)]
Viewer = Annotated[Visitor, Depends(PageNeeds("view"))]
Stopping = Annotated[Visitor, Depends(PostNeeds("kill"))]

router = APIRouter(include_in_schema=False)


@router.get("/runs/{run_id}")
async def show_run(services: Parts, visitor: Viewer, run_id: RunIdPath) -> Response:
    """What became of the run so far, and the orders that may be given to it."""
    return await _page(services, visitor, run_id)


@router.post("/runs/{run_id}/orders")
async def post_order(
    services: Parts,
    visitor: Stopping,
    run_id: RunIdPath,
    order: Annotated[str, Form(pattern=r"^(pause|resume|end|hand_over)$")],
    reason: Annotated[str, Form(max_length=2_000)] = "",
    nonce: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    """Give an order. The answer to one that was given is the run's own page."""
    try:
        posted = GiveOrder.model_validate({"order": {"kind": order}, "reason": reason, "nonce": nonce})
    except ValidationError:
        return await _page(services, visitor, run_id, problem="The reason has characters that cannot be kept.")
    given = await give(services, visitor, run_id, posted)
    match given:
        case Given():
            return RedirectResponse(f"/runs/{run_id}", 303)
        case NotGiven(refusal=refusal, detail=detail):
            problem = f"{ORDER_REFUSALS[refusal]} {detail}".strip()
            return await _page(services, visitor, run_id, problem=problem, status=409)
        case NoSuchRun():
            raise HTTPException(404)


async def _page(services: Services, visitor: Visitor, run_id: str, *, problem: str = "", status: int = 200) -> Response:
    session = visitor.session
    real = await load_run(services.database, visitor.tenant, run_id)
    async with services.database.tenant(visitor.tenant) as cursor:
        run = real or await run_of_decoy(cursor, visitor.tenant, run_id)
        facts = await (facts_of_run if real else facts_of_decoy)(cursor, visitor.tenant, run_id)
        if run is None or facts is None:
            raise HTTPException(404)
        pause = await open_pause(cursor, visitor.tenant, run_id)
        held = await halted_by(cursor, visitor.tenant, run_id, str(run["agent"]), pause.tool if pause else "")
        commands = await commands_of(cursor, visitor.tenant, run_id)
        orders = await orders_of(cursor, visitor.tenant, run_id)
        ratings = await ratings_of(cursor, visitor.tenant, run_id)
        standing = await uses_in_run(cursor, visitor.tenant, run_id)
        people_s = await people_seconds(cursor, visitor.tenant, run_id)
        reads = await reads_of(cursor, visitor.tenant, run_id, 20)
        await log_read(
            cursor, tenant=visitor.tenant, run_id=run_id, reader=session.username, person=session.person, via="page",
            what="run",
        )  # fmt: skip
    packet = RunReport.model_validate_json(str(run["report"])).content.packet if run["report"] else None
    values = {
        "visitor": visitor,
        "run": run,
        "view": run_view(RunHead.model_validate({name: run[name] for name in RunHead.model_fields}), facts),
        "facts": facts,
        "trace_id": trace_of(visitor.tenant, run_id).name if services.is_traced else "",
        "packet": packet,
        "ratings": ratings,
        "standing": standing,
        "my_rating": next((one for one in ratings if one.person == session.person), None),
        "may_rate": "approve" in session.roles,
        "people": duration(timedelta(seconds=people_s)) if people_s and run["closed_at"] else "",
        "amount": amount,
        "pause": pause,
        "held": held,
        "commands": commands,
        "undone": [(order, order.read_plan) for order in orders],
        "reads": reads,
        "refusals": ORDER_REFUSALS,
        "vote_refusals": REFUSALS,
        "may_stop": "kill" in session.roles and run["closed_at"] is None,
        "problem": problem,
        "nonce": secrets.token_hex(8),
        "at": at,
    }
    return services.assets.page("run.html", values, status)
