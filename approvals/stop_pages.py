"""The page for two in the morning: what is stopped, what was under way, big buttons with one step between."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path, Query
from starlette.responses import RedirectResponse, Response

from approvals.forms import sign_in_again
from approvals.proof import unproven
from approvals.roles import PageNeeds, PostNeeds
from approvals.services import Services, services_of
from approvals.switching import Refused, ThrowSwitch, release, show, throw
from approvals.visitors import Visitor
from approvals.words import at
from store.agents import list_agents
from store.pauses import open_pauses
from store.switches import SwitchScope, under_way

__all__ = ["router"]

Parts = Annotated[Services, Depends(services_of)]
Viewer = Annotated[Visitor, Depends(PageNeeds("view"))]
Stopper = Annotated[Visitor, Depends(PageNeeds("kill"))]
Stopping = Annotated[Visitor, Depends(PostNeeds("kill"))]

router = APIRouter(include_in_schema=False)


@router.get("/stop")
async def stop_page(services: Parts, visitor: Viewer) -> Response:
    """What is stopped, what is under way, and the buttons."""
    return await _page(services, visitor)


@router.get("/stop/confirm")
async def confirm_page(
    services: Parts,
    visitor: Stopper,
    scope: SwitchScope,
    target: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """The step between: what it will do, and why somebody does it."""
    values = {"visitor": visitor, "scope": scope, "target": target, "problem": "", "reason": ""}
    return services.assets.page("stop_confirm.html", values)


@router.post("/stop")
async def post_stop(
    services: Parts,
    visitor: Stopping,
    scope: Annotated[SwitchScope, Form()],
    target: Annotated[str, Form(max_length=100)] = "",
    reason: Annotated[str, Form(max_length=2_000)] = "",
) -> Response:
    """Throw the switch. The answer is the page that shows it, so that reloading it posts nothing."""
    asked = ThrowSwitch(scope=scope, target=target.strip(), reason=reason.replace("\0", ""))
    thrown = await throw(
        services.database, services.tenants, tenant=visitor.tenant, by=visitor.session.username, asked=asked
    )
    if isinstance(thrown, Refused):
        values = {"visitor": visitor, "scope": scope, "target": target, "problem": thrown.why, "reason": reason}
        return services.assets.page("stop_confirm.html", values, 422)
    return RedirectResponse(f"/stop#switch-{thrown.switch_id}", 303)


@router.post("/stop/{switch_id}/release")
async def post_release(
    services: Parts,
    visitor: Stopping,
    switch_id: Annotated[int, Path(ge=1, le=2**53)],
    reason: Annotated[str, Form(max_length=2_000)] = "",
) -> Response:
    """Release a switch. Runs that it halted are resumed by themselves."""
    lacking = await unproven(services.database, visitor)
    if lacking:
        return await _page(services, visitor, problem=f"Not released. {lacking}", status=403)
    released = await release(
        services.database, services.tenants, tenant=visitor.tenant, by=visitor.session.username, switch_id=switch_id,
        reason=reason.replace("\0", ""),
    )  # fmt: skip
    if isinstance(released, Refused):
        return await _page(services, visitor, problem=released.why, status=409)
    return RedirectResponse("/stop", 303)


async def _page(services: Services, visitor: Visitor, *, problem: str = "", status: int = 200) -> Response:
    on = await show(services.database, visitor.tenant)
    past = await show(services.database, visitor.tenant, released=True)
    async with services.database.tenant(visitor.tenant) as cursor:
        agents = await list_agents(cursor, visitor.tenant)
        paused = await open_pauses(cursor, visitor.tenant, 100)
        running = await under_way(cursor, visitor.tenant, 100)
    values = {
        "visitor": visitor,
        "on": on,
        "past": past,
        "agents": agents,
        "paused": paused,
        "running": running,
        "may_stop": "kill" in visitor.session.roles,
        "lacking": await unproven(services.database, visitor),
        "again": sign_in_again(visitor.session, "/stop"),
        "is_operator": services.tenants.operator_tenant == visitor.tenant and len(services.tenants.tenants) > 1,
        "problem": problem,
        "at": at,
    }
    return services.assets.page("stop.html", values, status)
