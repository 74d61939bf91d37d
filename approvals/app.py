"""The approvals application: built from settings, run by `python -m approvals`, tested in process."""

import asyncio
import ipaddress
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.responses import PlainTextResponse, Response

from approvals import (
    api,
    api_account,
    api_lists,
    batch_pages,
    delegation_pages,
    device_api,
    device_pages,
    doubt_pages,
    edit_pages,
    emergency_pages,
    inbox_pages,
    live_pages,
    packet_pages,
    pages,
    passkey_pages,
    review_pages,
    run_pages,
    sign_in,
    standing_form,
    standing_pages,
    step_pages,
    stop_api,
    stop_pages,
)
from approvals.api_document import API_VERSION, describe_api
from approvals.assets import Assets
from approvals.dispatch import Dispatcher
from approvals.dispatch_commands import CommandDispatcher
from approvals.guard import Guard, allowed_origins
from approvals.live import LiveDesk
from approvals.oidc import OidcDesk
from approvals.passkeys import PasskeyDesk
from approvals.problems import add_problems
from approvals.run_line import RunLine
from approvals.services import Services
from approvals.signing import VoteSigner
from approvals.throttle import Throttle
from approvals.visitors import SessionDesk, read_secret
from settings import Settings, SettingsError
from settings.sign_in import load_sign_in
from settings.spans import telling_to
from settings.temporal import connect
from settings.tenants import load_tenants
from settings.watched_limits import WatchedLimits
from store.database import Database, StoreDown

__all__ = ["create_app"]

_WINDOW_S = 300
_PUBLISH_EVERY_S = 10.0
_LOG = logging.getLogger("approvals")
_ROUTERS = (
    live_pages.router,
    batch_pages.router,
    pages.router,
    edit_pages.router,
    inbox_pages.router,
    stop_pages.router,
    emergency_pages.router,
    delegation_pages.pages,
    delegation_pages.api,
    standing_form.router,  # before the page of one: "new" is no id
    standing_pages.pages,
    standing_pages.api,
    run_pages.router,
    step_pages.router,
    sign_in.router,
    passkey_pages.pages,
    passkey_pages.api,
    device_pages.router,
    device_api.router,
    api_account.router,
    api_lists.router,
    api.router,
    stop_api.router,
    doubt_pages.pages,
    doubt_pages.api,
    review_pages.router,
    packet_pages.router,
)


def create_app(settings: Settings) -> FastAPI:
    """The application. Raises SettingsError for what cannot be served safely."""
    is_https = _is_https(settings)
    database = Database(settings.database_address(), role=settings.database_role)
    dispatch_database = Database(settings.database_address(), role=settings.dispatch_role, max_connections=4)
    runs = RunLine(lambda: connect(settings), task_queue=settings.temporal_task_queue)
    secret = read_secret(settings.session_secret_file)
    desk = SessionDesk(database, secret, is_https=is_https)
    services = Services(
        database=database,
        signer=VoteSigner.of(settings),
        desk=desk,
        oidc=OidcDesk(
            load_sign_in(settings.sign_in_file),
            folder=settings.sign_in_file.parent,
            web_url=settings.web_url,
            secret=secret,
        ),
        runs=runs,
        passkeys=PasskeyDesk.of(settings),
        assets=Assets(),
        tries_by_address=Throttle(limit=100, window_s=_WINDOW_S),
        tries_by_account=Throttle(limit=15, window_s=_WINDOW_S),
        tenants=load_tenants(settings.tenants_file),
        limits=WatchedLimits(settings.limits_file),
        live=LiveDesk(database, desk),
        reviews_file=settings.reviews_file,
        standing_file=settings.standing_file,
        is_traced=settings.otlp_endpoint is not None,
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        async with telling_to(settings.otlp_endpoint, "countersign-form"), database, dispatch_database:
            await services.signer.publish(database)
            dispatcher = Dispatcher(dispatch_database, runs)
            dispatching = asyncio.create_task(dispatcher.run(), name="dispatch votes")
            dispatching.add_done_callback(_report)
            commands = CommandDispatcher(database, dispatch_database, runs, services.signer)
            commanding = asyncio.create_task(commands.run(), name="dispatch commands")
            commanding.add_done_callback(_report)
            telling = asyncio.create_task(services.live.run(), name="tell open pages")
            telling.add_done_callback(_report)
            publishing = asyncio.create_task(_publish_keys(services.signer, database), name="publish vote keys")
            try:
                yield
            finally:
                publishing.cancel()
                telling.cancel()
                dispatcher.stop()
                commands.stop()
                await asyncio.gather(dispatching, commanding, return_exceptions=True)

    app = FastAPI(
        title="Countersign",
        version=API_VERSION,
        lifespan=lifespan,
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.services = services
    app.add_middleware(Guard, origins=allowed_origins(settings.web_url, settings.web_host, settings.web_port))
    for router in _ROUTERS:
        app.include_router(router)
    _add_probes(app, services)
    add_problems(app, services.assets)
    describe_api(app)
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
