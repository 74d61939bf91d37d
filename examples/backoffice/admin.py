"""What tests and demos may do to this service: reset it, read its books, plan faults, revoke credentials.

Guarded by a token of its own, and absent (404) when none is configured.
"""

import hmac
import sqlite3
from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field, ValidationError

from examples.backoffice import faults, requests, seed
from examples.backoffice.admin_books import Books, read_books
from examples.backoffice.errors import ApiError, unauthorized
from examples.backoffice.pipeline import Service
from examples.backoffice.seed import SeedDocument, SeedTenant
from examples.backoffice.settings import ADMIN_BODY_MAX_BYTES
from examples.backoffice.wire_answers import Answer
from examples.backoffice.wire_arguments import Arguments, Identifier

TENANTS_MAX = 5_000

BodyT = TypeVar("BodyT", bound=BaseModel)
ResultT = TypeVar("ResultT")


class ResetRequest(Arguments):
    """Back to the beginning."""

    seed: SeedDocument | None = None
    """What to fill the database with; null: the configured seed file."""


class ResetResult(Answer):
    """What a reset left."""

    tenants: tuple[str, ...]
    """Tenants that exist now."""


class NewTenant(Arguments):
    """A tenant beside those that are there."""

    tenant: Identifier
    """Its name, which no other has."""
    records: SeedTenant
    """What it begins with."""


class TenantAdded(Answer):
    """Result of adding a tenant."""

    tenant: str
    """Its name."""


class Revocation(Arguments):
    """Withdraws tokens of earlier epochs. Fields left out mean "any"; the epoch never goes down."""

    tenant: Identifier | None = None
    """Tenant; needed for an agent or a run."""
    agent: Annotated[str, Field(pattern=r"^agent:[!-~]{1,200}$")] | None = None
    """Acting agent, as in the token."""
    run: Annotated[str, Field(pattern=r"^[!-~]{1,200}$")] | None = None
    """The caller's run (``txn``)."""
    minimum_epoch: Annotated[int, Field(ge=0, le=2**53)]
    """Lowest epoch that is still accepted."""


class FaultList(Answer):
    """Planned faults."""

    faults: tuple[faults.PlannedFault, ...]
    """In the order of planning."""


class FaultsRemoved(Answer):
    """Result of forgetting faults."""

    removed: int
    """How many there were."""


def admin_router(service: Service) -> APIRouter:
    """Build the admin endpoints."""
    router = APIRouter(prefix="/admin", tags=["admin"], dependencies=[Depends(_guard(service))])

    async def write(work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        def transaction() -> ResultT:
            with service.database.write() as connection:
                return work(connection)

        return await run_in_threadpool(transaction)

    @router.post("/reset")
    async def reset(request: Request) -> ResetResult:
        """Return to the seed, or to the one in the body."""
        wanted = (await _body(request, ResetRequest)).seed
        document = wanted or await run_in_threadpool(seed.load_seed, service.settings.seed_file)
        await write(lambda connection: _reset(connection, document))
        return ResetResult(tenants=tuple(document.tenants))

    @router.post("/tenants", status_code=201)
    async def add_tenant(request: Request) -> TenantAdded:
        """Add one tenant with its records; the others stay as they are."""
        new = await _body(request, NewTenant)
        await write(lambda connection: _add_tenant(connection, new))
        return TenantAdded(tenant=new.tenant)

    @router.get("/books")
    async def books(tenant: Identifier) -> Books:
        """Return what happened to one tenant."""
        return await run_in_threadpool(read_books, service.database, tenant)

    @router.post("/faults", status_code=201)
    async def plan_fault(request: Request) -> faults.PlannedFault:
        """Plan a fault; it outlives a restart."""
        plan = await _body(request, faults.FaultPlan)
        planned = await write(lambda connection: faults.plan_fault(connection, plan))
        if planned is None:
            raise ApiError(409, "too_many_faults", f"{faults.FAULTS_MAX} faults are waiting; remove them first.")
        return planned

    @router.get("/faults")
    async def list_faults() -> FaultList:
        """List planned faults and how often they will still strike."""
        return FaultList(faults=await write(faults.list_faults))

    @router.delete("/faults")
    async def remove_faults() -> FaultsRemoved:
        """Forget all planned faults."""
        return FaultsRemoved(removed=await write(faults.remove_faults))

    @router.post("/revocations")
    async def revoke(request: Request) -> Revocation:
        """Refuse tokens of earlier epochs; returns the rule now in force."""
        revocation = await _body(request, Revocation)
        if revocation.tenant is None and (revocation.agent or revocation.run):
            raise ApiError(422, "arguments_invalid", "tenant: needed to name an agent or a run.")
        return await write(lambda connection: _revoke(connection, revocation))

    # FastAPI keeps the functions; naming them here tells the type checker that they are used.
    _ = (reset, add_tenant, books, plan_fault, list_faults, remove_faults, revoke)
    return router


def _guard(service: Service) -> Callable[[Request], None]:
    def check(request: Request) -> None:
        expected = service.settings.admin_token
        if expected is None:
            raise ApiError(404, "not_found", "There is no such endpoint.")
        presented = request.headers.get("authorization", "")
        wanted = f"Bearer {expected.get_secret_value()}"
        if not hmac.compare_digest(presented.encode(), wanted.encode()):
            raise unauthorized("admin_token_invalid", "Send the admin token as 'Authorization: Bearer <token>'.")

    return check


async def _body(request: Request, model: type[BodyT]) -> BodyT:
    body = await requests.read_body(request, ADMIN_BODY_MAX_BYTES)
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise requests.invalid(error) from None


def _reset(connection: sqlite3.Connection, document: SeedDocument) -> None:
    try:
        seed.reset(connection, document)
    except sqlite3.IntegrityError as error:
        raise ApiError(422, "arguments_invalid", f"seed: the records do not fit together ({error}).") from None


def _add_tenant(connection: sqlite3.Connection, new: NewTenant) -> None:
    if connection.execute("SELECT count(*) FROM tenants").fetchone()[0] >= TENANTS_MAX:
        raise ApiError(409, "too_many_tenants", f"{TENANTS_MAX} tenants are here; reset first.")
    if connection.execute("SELECT 1 FROM tenants WHERE tenant = ?", (new.tenant,)).fetchone():
        raise ApiError(409, "tenant_exists", f"There is a tenant {new.tenant} already.")
    try:
        seed.add_tenant(connection, new.tenant, new.records)
    except sqlite3.IntegrityError as error:
        raise ApiError(422, "arguments_invalid", f"records: they do not fit together ({error}).") from None


def _revoke(connection: sqlite3.Connection, revocation: Revocation) -> Revocation:
    row = connection.execute(
        """
        INSERT INTO revocations VALUES (?, ?, ?, ?)
        ON CONFLICT DO UPDATE SET minimum_epoch = max(minimum_epoch, excluded.minimum_epoch)
        RETURNING minimum_epoch
        """,
        (revocation.tenant or "", revocation.agent or "", revocation.run or "", revocation.minimum_epoch),
    ).fetchone()
    return revocation.model_copy(update={"minimum_epoch": row["minimum_epoch"]})
