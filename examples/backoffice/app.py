"""The HTTP application: the operations table turned into routes, admin endpoints, health."""

import logging
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from examples.backoffice import operations, requests, seed, settings
from examples.backoffice.admin import admin_router
from examples.backoffice.database import Database
from examples.backoffice.epochs import STATEMENT_MAX_BYTES, Feed
from examples.backoffice.errors import ApiError, error_response
from examples.backoffice.keys import KeyRing
from examples.backoffice.one_length import OneLength
from examples.backoffice.operations import Change, Read
from examples.backoffice.pipeline import Service, json_error
from examples.backoffice.read_tokens import ReadTokens
from examples.backoffice.wire_answers import Answer, ErrorBody

logger = logging.getLogger(__name__)

DESCRIPTION = f"""
A system of record that agents act on. Each call carries a token for exactly this call; each write an Idempotency-Key.
Keys are remembered for at least {settings.IDEMPOTENCY_KEY_WINDOW_S} s. Nothing takes effect later than
{settings.CLOCK_LEEWAY_S} s after its token's `exp`, so a key that is unknown then stays unused.
"""

# One entry for all refusals: a model for each status would be built anew for each route at every start.
REFUSALS: dict[int | str, dict[str, Any]] = {"default": {"model": ErrorBody, "description": "Refused; see code."}}


class WellKnown(Answer):
    """What a caller needs to know before it calls."""

    audience: str
    """Value that a token's ``aud`` must have."""
    issuer: str
    """Value that a token's ``iss`` must have."""
    token_max_lifetime_s: int
    """Longest accepted ``exp`` minus ``iat``."""
    clock_leeway_s: int
    """Tolerance for clocks. After ``exp`` plus this, a request can no longer take effect."""
    idempotency_key_window_s: int
    """How long keys are remembered at least."""


class Health(Answer):
    """A sign of life."""

    status: str
    """``ok``, or what is missing."""


def create_app(configured: settings.Settings) -> FastAPI:
    """Open the database, seed it when empty, and build the application."""
    database, keys = Database(configured.db_path), KeyRing(configured.jwks)
    feed = Feed(database, keys, issuer=configured.issuer, source=configured.epochs)
    service = Service(configured, database, keys, feed, ReadTokens())
    with service.database.write() as connection:
        if seed.is_empty(connection):
            seed.reset(connection, seed.load_seed(configured.seed_file))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        service.database.close()

    app = FastAPI(
        title="Backoffice", version="1", description=DESCRIPTION, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.add_middleware(OneLength)
    for read in operations.READS:
        _add_read(app, service, read)
    for change in operations.CHANGES:
        _add_change(app, service, change)
    app.include_router(admin_router(service))
    _add_epochs(app, service)
    _add_health(app, service)
    _add_error_handlers(app)
    return app


def _add_read(app: FastAPI, service: Service, operation: Read[Any]) -> None:
    async def endpoint(request: Request) -> Response:
        return await service.answer_read(operation, request)

    schema = operation.arguments.model_json_schema()
    parameters = [
        {
            "name": name,
            "in": "path" if f"{{{name}" in operation.path else "query",
            "required": True,
            "schema": field,
        }
        for name, field in schema["properties"].items()
    ]
    app.add_api_route(
        operation.path,
        endpoint,
        methods=["GET"],
        name=operation.name,
        summary=f"{operation.name} (scope {operation.scope})",
        responses={200: {"model": operation.answer}, **REFUSALS},
        openapi_extra={"parameters": parameters},
    )


def _add_change(app: FastAPI, service: Service, operation: Change[Any]) -> None:
    async def endpoint(request: Request) -> Response:
        return await service.answer_change(operation, request)

    schema = operation.arguments.model_json_schema()
    header = {"name": "Idempotency-Key", "in": "header", "required": True, "schema": {"type": "string"}}
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": schema["properties"][name]}
        for name in schema["properties"]
        if f"{{{name}}}" in operation.path
    ]
    app.add_api_route(
        operation.path,
        endpoint,
        methods=["POST"],
        status_code=operation.status_code,
        name=operation.name,
        summary=f"{operation.name} (scope {operation.scope})",
        responses={operation.status_code: {"model": operation.answer}, **REFUSALS},
        openapi_extra={
            "parameters": [*in_path, header],
            "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        },
    )


def _add_epochs(app: FastAPI, service: Service) -> None:
    @app.post("/countersign/epochs", status_code=204, responses=REFUSALS)
    async def epochs(request: Request) -> Response:
        """Take the issuer's signed statement of revoked tokens. Whoever brings it: the signature counts."""
        body = await requests.read_body(request, STATEMENT_MAX_BYTES)
        await run_in_threadpool(service.feed.learn, body.decode("ascii", "replace"), time.time())
        return Response(status_code=204)

    _ = epochs


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/healthz")
    async def healthz() -> Health:
        """Tell that the process answers."""
        return Health(status="ok")

    @app.get("/readyz", responses={503: {"model": Health}})
    async def readyz(response: Response) -> Health:
        """Tell whether calls can be served: the database answers and the issuer's keys are known."""
        missing = await run_in_threadpool(_missing, service)
        response.status_code = 503 if missing else 200
        return Health(status=missing or "ok")

    @app.get("/.well-known/backoffice")
    async def well_known() -> WellKnown:
        """Declare audience, issuer and time windows."""
        return WellKnown(
            audience=service.settings.audience,
            issuer=service.settings.issuer,
            token_max_lifetime_s=settings.TOKEN_MAX_LIFETIME_S,
            clock_leeway_s=settings.CLOCK_LEEWAY_S,
            idempotency_key_window_s=settings.IDEMPOTENCY_KEY_WINDOW_S,
        )

    # FastAPI keeps the functions; naming them here tells the type checker that they are used.
    _ = (healthz, readyz, well_known)


def _missing(service: Service) -> str | None:
    try:
        with service.database.read() as connection:
            connection.execute("SELECT 1 FROM tenants LIMIT 1").fetchone()
    except sqlite3.Error as error:
        return f"database: {error}"
    if not service.keys.is_ready():
        return "keys: no public Ed25519 key in BACKOFFICE_JWKS"
    return None


def _add_error_handlers(app: FastAPI) -> None:
    async def on_api_error(_: Request, error: Exception) -> JSONResponse:
        return error_response(error) if isinstance(error, ApiError) else json_error(500, "internal_error", "Fault.")

    async def on_http_error(_: Request, error: Exception) -> JSONResponse:
        status_code = error.status_code if isinstance(error, HTTPException) else 500
        code = {404: "not_found", 405: "method_not_allowed"}.get(status_code, "http_error")
        return json_error(status_code, code, "There is no such endpoint.")

    async def on_invalid(_: Request, _error: Exception) -> JSONResponse:
        return json_error(422, "arguments_invalid", "A parameter is missing or malformed.")

    async def on_busy(_: Request, error: Exception) -> JSONResponse:
        logger.error("Database: %s", error)
        return json_error(503, "unavailable", "The database cannot be used now; nothing was done. Try again.")

    async def on_fault(_: Request, _error: Exception) -> JSONResponse:
        return json_error(500, "internal_error", "An unexpected fault; the log has it.")

    app.add_exception_handler(ApiError, on_api_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(sqlite3.OperationalError, on_busy)
    app.add_exception_handler(Exception, on_fault)
