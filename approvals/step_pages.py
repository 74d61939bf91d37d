"""The steps of a run as they were recorded: what evidence on the page of a request leads to."""

from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from starlette.exceptions import HTTPException
from starlette.responses import Response

from approvals.roles import PageNeeds
from approvals.services import Services, services_of
from approvals.visitors import Visitor
from approvals.words import at
from store.decoy_runs import run_of_decoy, steps_of_decoy
from store.run_reads import log_read
from store.run_steps import MAX_STEPS, messages_of
from store.runs import load_run

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@router.get("/runs/{run_id}/steps")
async def show_steps(
    services: Annotated[Services, Depends(services_of)],
    visitor: Annotated[Visitor, Depends(PageNeeds("view"))],
    run_id: Annotated[str, Path(pattern=r"^run-[a-z2-7]{26}$")],
    first: Annotated[int, Query(ge=0, le=100_000)] = 0,
) -> Response:
    """A page of steps. Who looked is written down, as for the run itself."""
    session = visitor.session
    real = await load_run(services.database, visitor.tenant, run_id)
    async with services.database.tenant(visitor.tenant) as cursor:
        run = real or await run_of_decoy(cursor, visitor.tenant, run_id)
        if run is None:
            raise HTTPException(404)
        steps_of = messages_of if real else steps_of_decoy
        messages = await steps_of(cursor, visitor.tenant, run_id, first_step=first)
        await log_read(
            cursor, tenant=visitor.tenant, run_id=run_id, reader=session.username, person=session.person, via="page",
            what="steps",
        )  # fmt: skip
    steps = [(step, list(found)) for step, found in groupby(messages, key=lambda message: message.step)]
    values = {
        "visitor": visitor,
        "run": run,
        "steps": steps,
        "first": first,
        "earlier": max(first - MAX_STEPS, 0) if first else None,
        "later": first + MAX_STEPS if messages and messages[-1].step == first + MAX_STEPS - 1 else None,
        "at": at,
    }
    return services.assets.page("steps.html", values)
