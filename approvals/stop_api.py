"""Stopping as JSON: kill switches, and orders to single runs."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BeforeValidator, Field, StringConstraints
from starlette.exceptions import HTTPException

from approvals.machines import Machine
from approvals.operate import Given, NoSuchRun, NotGiven, Ordered, give
from approvals.proof import require_proof
from approvals.roles import ApiNeeds, ApiOpenTo
from approvals.services import Services, services_of
from approvals.switching import Refused, Released, SwitchShown, ThrowSwitch, release, show, throw
from approvals.visitors import Visitor
from approvals.wire import GiveOrder, OrderReply
from contracts.base import Record
from contracts.command import EndRun, HandOver, Pause, ResolveUnknown, Resume
from store.pauses import StoredPause, open_pauses
from store.switches import Receipt, Thrown, under_way

__all__ = ["ReleaseSwitch", "StopReply", "router"]

Parts = Annotated[Services, Depends(services_of)]
Viewer = Annotated[Visitor | Machine, Depends(ApiOpenTo("view", "runs:read"))]
Thrower = Annotated[Visitor | Machine, Depends(ApiOpenTo("kill", "kill"))]
Stopper = Annotated[Visitor, Depends(ApiNeeds("kill"))]
Undoer = Annotated[Visitor, Depends(ApiNeeds("undo"))]
Words = Annotated[str, StringConstraints(max_length=2_000, strip_whitespace=True, pattern=r"^[^\x00]*$")]
RunIdPath = Annotated[str, Path(pattern=r"^run-[a-z2-7]{26}$")]

router = APIRouter(prefix="/api", tags=["runs"])


class StopReply(Record):
    """What is stopped, and what is under way."""

    on: tuple[SwitchShown, ...]
    """Switches that hold, with what was under way when each fell."""
    paused: tuple[StoredPause, ...]
    """Runs that wait."""
    under_way: tuple[Receipt, ...]
    """Calls that open runs have started and not finished."""


class _Said(Record):
    reason: Words
    """Why; it is recorded."""
    nonce: str = Field(default="", max_length=64)
    """The same for the same press of a button: what is sent twice gives one order."""


def _not_released(because: object) -> object:
    if because == "released":
        raise ValueError("only the service itself says this, when what halted the run was released: leave it out")
    return because


class ResumeByOperator(Record):
    """Go on. The gate decides everything afresh."""

    kind: Literal["resume"] = "resume"
    because: Annotated[Literal["operator"], BeforeValidator(_not_released)] = "operator"
    pause: None = None


class RunOrder(_Said):
    """An order to a run."""

    order: Annotated[Pause | ResumeByOperator | EndRun | HandOver, Field(discriminator="kind")]


class DoubtClosed(_Said):
    """Word to a run that a person has closed a doubt."""

    order: ResolveUnknown


class ReleaseSwitch(Record):
    """Why it is safe to go on."""

    reason: Words


@router.get("/stop")
async def api_stop(services: Parts, caller: Viewer) -> StopReply:
    """What is stopped and what is under way."""
    shown = await show(services.database, caller.tenant)
    async with services.database.tenant(caller.tenant) as cursor:
        paused = await open_pauses(cursor, caller.tenant)
        running = await under_way(cursor, caller.tenant)
    return StopReply(on=shown, paused=paused, under_way=running)


@router.post("/stop")
async def api_throw(services: Parts, caller: Thrower, body: ThrowSwitch) -> Thrown:
    """Throw a switch. Throwing one that is on changes nothing and says so."""
    thrown = await throw(services.database, services.tenants, tenant=caller.tenant, by=caller.account, asked=body)
    if isinstance(thrown, Refused):
        raise HTTPException(422, thrown.why)
    return thrown


@router.post("/stop/{switch_id}/release", responses={409: {}})
async def api_release(
    services: Parts, caller: Stopper, switch_id: Annotated[int, Path(ge=1, le=2**53)], body: ReleaseSwitch
) -> Released:
    """Release a switch. It takes a sign-in of the last minutes, with a passkey of whoever has one."""
    await require_proof(services.database, caller)
    released = await release(
        services.database, services.tenants, tenant=caller.tenant, by=caller.session.username, switch_id=switch_id,
        reason=body.reason,
    )  # fmt: skip
    if isinstance(released, Refused):
        raise HTTPException(409, released.why)
    return released


@router.post("/runs/{run_id}/orders", responses={409: {}})
async def api_order(services: Parts, caller: Stopper, run_id: RunIdPath, body: RunOrder) -> OrderReply:
    """Pause, resume, end or hand over a run."""
    return _reply(await give(services, caller, run_id, _given(body)))


@router.post("/runs/{run_id}/doubts", responses={409: {}})
async def api_doubt(services: Parts, caller: Undoer, run_id: RunIdPath, body: DoubtClosed) -> OrderReply:
    """Tell a run that a person has closed a doubt in the ledger."""
    return _reply(await give(services, caller, run_id, _given(body)))


def _given(body: RunOrder | DoubtClosed) -> GiveOrder:
    order = Resume() if isinstance(body.order, ResumeByOperator) else body.order
    return GiveOrder(order=order, reason=body.reason, nonce=body.nonce)


def _reply(ordered: Ordered) -> OrderReply:
    match ordered:
        case Given(command=command):
            refusal = command.refusal.value if command.refusal else ""
            return OrderReply(command_id=command.command_id, state=command.state, refusal=refusal)
        case NotGiven(refusal=refusal, detail=detail):
            raise HTTPException(409, f"{refusal.value.replace('_', ' ')}{': ' if detail else ''}{detail}")
        case NoSuchRun():
            raise HTTPException(404, "There is no such run.")
