"""The HTTP face of the intake."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from contracts.base import Record
from settings.spans import telling_to
from store.database import Database, StoreDown
from store.inbox import is_reachable
from workers.intake.answers import Problem, Receipt, Refusal
from workers.intake.dispatch import Dispatcher
from workers.intake.receive import Receiver

__all__ = ["create_app"]

_LOG = logging.getLogger(__name__)
_READY_TIMEOUT_S = 3
_ABOUT = """
Delivers backend events to agents. Each request is signed as [Standard Webhooks](https://www.standardwebhooks.com)
describe (`webhook-id`, `webhook-timestamp`, `webhook-signature`) and carries one
[CloudEvent](https://cloudevents.io) 1.0.

Deliver until the answer is 200 or 202, always with the same CloudEvents `source` and `id`: the event starts one run,
however often it arrives. After 408, 429, 500 and 503 deliver again; other answers say what to change first.
"""
_EVENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "pattern": "^[!-~]{1,100}$", "description": "Unique within the source."},
        "source": {"type": "string", "maxLength": 100, "description": "One that the endpoint lists."},
        "type": {"type": "string", "maxLength": 100, "description": "One that the endpoint routes."},
        "subject": {"type": "string", "minLength": 1, "maxLength": 500},
        "time": {"type": "string", "format": "date-time", "description": "When it happened; the same in redeliveries."},
        "datacontenttype": {"type": "string", "description": "A JSON media type."},
        "data": {"type": "object", "description": "The payload."},
    },
    "additionalProperties": {"type": ["string", "integer", "boolean"]},
}
_REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/cloudevents+json": {
            "schema": _EVENT_SCHEMA,
            "example": {
                "specversion": "1.0",
                "id": "evt-81f2",
                "source": "/helpdesk/acme",
                "type": "ticket.created",
                "time": "2026-11-20T09:30:00Z",
                "data": {"ticket_id": "TIC-2001"},
            },
        },
        "application/json": {
            "schema": {"type": "object", "description": "The data of a binary event; attributes in `ce-` headers."}
        },
    },
}
_SIGNATURE_HEADERS: list[dict[str, Any]] = [
    {"name": name, "in": "header", "required": True, "schema": {"type": "string"}, "description": meaning}
    for name, meaning in (
        ("webhook-id", "Id of the delivery; equal to `ce-id` in binary mode."),
        ("webhook-timestamp", "Unix seconds, at most five minutes from now."),
        ("webhook-signature", "`v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`; several, parted by spaces."),
    )
]
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": meaning}
    for status, meaning in (
        (400, "Not JSON, a repeated header, or a body that broke off"),
        (401, "Signature missing, wrong or too old"),
        (404, "No such endpoint"),
        (408, "The body took too long"),
        (409, "Another event was accepted under this id; a person has been alarmed"),
        (413, "Body larger than the endpoint takes"),
        (415, "Neither a structured nor a binary CloudEvent in JSON"),
        (422, "Not a CloudEvent 1.0, or this endpoint has no route for it"),
        (429, "Too many deliveries at once; `Retry-After` says when to come back"),
        (500, "A fault of this software; nothing is known of the event, deliver it again"),
        (503, "The store is down; `Retry-After` says when to come back"),
    )
}


class Health(Record):
    """Whether the process serves."""

    status: Literal["ok", "unavailable"]
    dispatcher: str = ""
    """What keeps runs from being started; events are accepted nonetheless. Empty: nothing."""


def create_app(
    receiver: Receiver, dispatcher: Dispatcher, *databases: Database, otlp_endpoint: str | None = None
) -> FastAPI:
    """The application; it opens the databases and runs the dispatcher for as long as it lives."""
    app = FastAPI(
        title="Countersign event intake",
        version="1",
        description=_ABOUT,
        docs_url=None,  # The pages load scripts from elsewhere.
        redoc_url=None,
        lifespan=_lifespan(dispatcher, databases, otlp_endpoint),
    )

    @app.post(
        "/events/{endpoint}",
        status_code=202,
        response_model=Receipt,
        responses={200: {"model": Receipt, "description": "Accepted before; nothing new was started"}, **_PROBLEMS},
        openapi_extra={"requestBody": _REQUEST_BODY, "parameters": _SIGNATURE_HEADERS},
        summary="Deliver one event",
    )
    async def receive_event(endpoint: str, request: Request) -> JSONResponse:
        """Stored for good when the answer is 202 (first delivery) or 200 (again), under the run id in the answer."""
        return _response(await receiver.receive(endpoint, request))

    @app.get("/healthz", summary="The process lives")
    async def healthz() -> Health:
        return Health(status="ok")

    @app.get("/readyz", response_model=Health, responses={503: {"model": Health}}, summary="Events can be stored")
    async def readyz() -> JSONResponse:
        try:
            async with asyncio.timeout(_READY_TIMEOUT_S):
                await is_reachable(receiver.store)
        except (StoreDown, TimeoutError):
            return JSONResponse(Health(status="unavailable", dispatcher=dispatcher.trouble).model_dump(), 503)
        return JSONResponse(Health(status="ok", dispatcher=dispatcher.trouble).model_dump())

    @app.exception_handler(HTTPException)
    async def no_such_page(_request: Request, error: HTTPException) -> JSONResponse:
        problem = Problem(code="not_found", message="There is no such page. See /openapi.json.")
        if error.status_code == 405:  # noqa: PLR2004 - the status itself
            problem = Problem(code="method_unsupported", message="Events are delivered by POST. See /openapi.json.")
        return JSONResponse(problem.model_dump(), error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def fault(_request: Request, error: Exception) -> JSONResponse:
        _LOG.error("a delivery met a fault", exc_info=error)
        problem = Problem(code="internal_fault", message="A fault of this software. Deliver the event again.")
        return JSONResponse(problem.model_dump(), 500)

    return app


def _response(answer: Receipt | Refusal) -> JSONResponse:
    if isinstance(answer, Receipt):
        return JSONResponse(answer.model_dump(), 202 if answer.status == "accepted" else 200)
    headers: dict[str, str] = {}
    if answer.retry_after_s is not None:
        headers["Retry-After"] = str(answer.retry_after_s)
    if answer.status in {404, 408, 413, 429}:
        # The rest of the body is not read.
        headers["Connection"] = "close"
    return JSONResponse(answer.problem.model_dump(), answer.status, headers)


def _lifespan(
    dispatcher: Dispatcher, databases: tuple[Database, ...], otlp_endpoint: str | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def alive(_app: FastAPI) -> AsyncGenerator[None]:
        for database in databases:
            await database.open()
        stop = asyncio.Event()
        task = asyncio.create_task(dispatcher.run(stop), name="dispatcher")
        try:
            async with telling_to(otlp_endpoint, "countersign-intake"):
                yield
        finally:
            stop.set()
            await task
            for database in databases:
                await database.close()

    return alive
