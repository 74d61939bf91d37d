"""The approvals application: built from settings, run by `python -m approvals`, tested in process."""

import asyncio
import ipaddress
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response

from approvals import (
    api,
    doubt_pages,
    emergency_pages,
    inbox_pages,
    packet_pages,
    pages,
    review_pages,
    run_pages,
    sign_in,
    stop_api,
    stop_pages,
)
from approvals.assets import Assets
from approvals.dispatch import Dispatcher
from approvals.dispatch_commands import CommandDispatcher
from approvals.guard import Guard, allowed_origins
from approvals.oidc import OidcDesk
from approvals.run_line import RunLine
from approvals.services import Services
from approvals.signing import VoteSigner
from approvals.throttle import Throttle
from approvals.visitors import SessionDesk, read_secret
from settings import Settings, SettingsError
from settings.sign_in import load_sign_in
from settings.temporal import connect
from settings.tenants import load_tenants
from store.database import Database, StoreDown

__all__ = ["create_app"]

_WINDOW_S = 300
_PUBLISH_EVERY_S = 10.0
_LOG = logging.getLogger("approvals")
_TITLES = {
    400: "That address is not right",
    403: "Not allowed",
    404: "There is no such page",
    409: "Something changed",
    413: "Too large",
    503: "The database cannot be reached",
}


def create_app(settings: Settings) -> FastAPI:
    """The application. Raises SettingsError for what cannot be served safely."""
    is_https = _is_https(settings)
    database = Database(settings.database_address(), role=settings.database_role)
    dispatch_database = Database(settings.database_address(), role=settings.dispatch_role, max_connections=4)
    runs = RunLine(lambda: connect(settings), task_queue=settings.temporal_task_queue)
    secret = read_secret(settings.session_secret_file)
    services = Services(
        database=database,
        signer=VoteSigner.of(settings),
        desk=SessionDesk(database, secret, is_https=is_https),
        oidc=OidcDesk(
            load_sign_in(settings.sign_in_file),
            folder=settings.sign_in_file.parent,
            web_url=settings.web_url,
            secret=secret,
        ),
        runs=runs,
        assets=Assets(),
        tries_by_address=Throttle(limit=100, window_s=_WINDOW_S),
        tries_by_account=Throttle(limit=15, window_s=_WINDOW_S),
        tenants=load_tenants(settings.tenants_file),
        reviews_file=settings.reviews_file,
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        async with database, dispatch_database:
            await services.signer.publish(database)
            dispatcher = Dispatcher(dispatch_database, runs)
            dispatching = asyncio.create_task(dispatcher.run(), name="dispatch votes")
            dispatching.add_done_callback(_report)
            commands = CommandDispatcher(database, dispatch_database, runs, services.signer)
            commanding = asyncio.create_task(commands.run(), name="dispatch commands")
            commanding.add_done_callback(_report)
            publishing = asyncio.create_task(_publish_keys(services.signer, database), name="publish vote keys")
            try:
                yield
            finally:
                publishing.cancel()
                dispatcher.stop()
                commands.stop()
                await asyncio.gather(dispatching, commanding, return_exceptions=True)

    app = FastAPI(
        title="Countersign approvals",
        lifespan=lifespan,
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.services = services
    app.add_middleware(Guard, origins=allowed_origins(settings.web_url, settings.web_host, settings.web_port))
    routers = (
        pages.router, inbox_pages.router, stop_pages.router, emergency_pages.router, run_pages.router, sign_in.router,
        api.router, stop_api.router, doubt_pages.pages, doubt_pages.api, review_pages.router, packet_pages.router,
    )  # fmt: skip
    for router in routers:
        app.include_router(router)
    _add_probes(app, services)
    _add_errors(app, services)
    return app


async def _publish_keys(signer: VoteSigner, database: Database) -> None:
    """Make keys known that were rotated in while this process runs: before a run could wait for a vote of theirs."""
    while True:
        await asyncio.sleep(_PUBLISH_EVERY_S)
        try:
            await signer.publish(database)
        except (StoreDown, SettingsError) as error:
            _LOG.warning("vote keys are not published: %s", error)


def _is_https(settings: Settings) -> bool:
    public = urlsplit(settings.web_url)
    if public.scheme != "https" and not _is_loopback(public.hostname or ""):
        raise SettingsError(
            f"COUNTERSIGN_WEB_URL is {settings.web_url}: session cookies would cross the network unprotected. "
            "Put TLS in front and set its https address."
        )
    return public.scheme == "https"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _LOG.error("task %r ended", task.get_name(), exc_info=task.exception())


def _add_probes(app: FastAPI, services: Services) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        return PlainTextResponse("ok\n")

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        # Temporal may be down: votes are stored and sent later.
        try:
            async with services.database.everywhere() as cursor:
                await cursor.execute("select 1")
        except StoreDown as error:
            return PlainTextResponse(f"not ready: {error}\n", 503)
        return PlainTextResponse("ready\n")

    @app.get("/static/{stamp}/{name}", include_in_schema=False)
    async def static(stamp: str, name: str) -> Response:
        return services.assets.file(stamp, name)


def _add_errors(app: FastAPI, services: Services) -> None:
    def answer(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": detail or _TITLES.get(status, "error")}, status, headers)
        title = _TITLES.get(status, "Something went wrong")
        return services.assets.page("error.html", {"title": title, "detail": detail, "status": status}, status)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if error.status_code == 303 and error.headers:  # noqa: PLR2004 - the way to the sign-in page
            return Response(status_code=303, headers=error.headers)
        plain = error.detail if error.detail not in {"Not Found", "Forbidden", "Method Not Allowed"} else ""
        return answer(request, error.status_code, plain, dict(error.headers) if error.headers else None)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place, field = str(first["loc"][0]), ".".join(str(part) for part in first["loc"][1:])
        # An id that cannot exist is an id that does not exist.
        return answer(request, 404, "") if place == "path" else answer(request, 422, f"{field}: {first['msg']}")

    @app.exception_handler(StoreDown)
    async def store_down(request: Request, error: StoreDown) -> Response:
        _LOG.error("no page without the database: %s", error)
        return answer(request, 503, "Nothing was decided. Try again in a minute.")

    @app.exception_handler(ClientDisconnect)
    async def cut_off(request: Request, _error: ClientDisconnect) -> Response:
        return answer(request, 413, "")
