"""`python -m workers.worker`: run agent jobs until SIGTERM, then let what is under way finish."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.service import RPCError

from activities.engine import Engine
from activities.models.model_map import ModelMapError
from activities.models.vetting import faults_in_use
from policy.bundle import BundleError
from settings import Settings, SettingsError, get_settings
from settings.logs import start_logging
from settings.serving import serving
from settings.temporal import connect
from settings.tenants import load_tenants
from store.database import Database, StoreDown
from workers.clock import clock_difference_s
from workers.identity_news import IdentityNews, news_routes
from workers.log_names import names_of
from workers.open_runs import refuse_changed_code
from workers.run_worker import open_engine, run_worker
from workers.sweeper import Sweeper

__all__ = ["main"]

MAX_CLOCK_DIFFERENCE_S = 60
_logger = logging.getLogger(__name__)
_CLOCK_CHECK_S = 30


def _health_routes(engine: Engine, client: Client) -> list[Route]:
    """`/healthz`: the process lives; `/readyz`: it can work."""

    async def healthz(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    async def readyz(_request: Request) -> PlainTextResponse:
        try:
            engine.bundles.current()
            await clock_difference_s(engine.db)
            if not await client.service_client.check_health():
                return PlainTextResponse("Temporal is not healthy", status_code=503)
        except (StoreDown, BundleError, OSError, RPCError) as error:
            return PlainTextResponse(f"{type(error).__name__}: {error}", status_code=503)
        return PlainTextResponse("ok")

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


async def serve(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT.

    Raises:
        SettingsError, OSError, ValueError: something that the worker needs is missing or wrong.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with _runtime(settings) as runtime, open_engine(settings) as engine:
        client = await connect(settings, runtime)
        _say_what_is_wrong(engine)
        dispatch = Database(settings.database_address(), role=settings.dispatch_role, max_connections=1)
        identity = IdentityNews(engine.db, dispatch, engine.credentials.own, settings.services)
        app = Starlette(routes=[*_health_routes(engine, client), *news_routes(identity)])
        server = uvicorn.Server(serving(app, host=settings.worker_host, port=settings.worker_port, lifespan="off"))
        await _refuse_wrong_clock(engine)
        if settings.check_open_runs:
            await refuse_changed_code(client, settings.temporal_task_queue)
        worker = run_worker(client, engine)
        async with dispatch, worker:
            telling = asyncio.create_task(identity.run())
            sweeping = asyncio.create_task(Sweeper(engine, client, lambda: _tenants(settings)).run())
            page = asyncio.create_task(server.serve())
            watch = asyncio.create_task(_watch_clock(engine, stopping))
            stop = asyncio.create_task(stopping.wait())
            await asyncio.wait([page, watch, stop], return_when=asyncio.FIRST_COMPLETED)
            server.should_exit = True
            watch.cancel()
            telling.cancel()
            sweeping.cancel()
            await page
        if watch.done() and not watch.cancelled():
            watch.result()


def _say_what_is_wrong(engine: Engine) -> None:
    """Agents that cannot run, and models that cannot be paid for or may change unseen: one of either stops no other."""
    for name, findings in engine.registry.broken.items():
        _logger.warning("agent %s cannot run: %s", name, findings[0].in_words() if findings else "")
    named = {name for agent in engine.registry.agents.values() for name in agent.file.models.values()}
    try:
        for fault in faults_in_use(sorted(named), engine.settings):
            _logger.warning("model %s. %s", fault.message, fault.advice)
    except ModelMapError as error:
        _logger.warning("%s", error)


@asynccontextmanager
async def _runtime(settings: Settings) -> AsyncGenerator[Runtime | None]:
    """What the client runs on: with a collector, one that tells it."""
    if settings.otlp_endpoint is None:
        yield None
        return
    from workers.telemetry import telemetry  # noqa: PLC0415 - its imports take long, and few workers need them

    async with telemetry(settings.otlp_endpoint, "countersign-worker") as runtime:
        yield runtime


def _tenants(settings: Settings) -> list[str]:
    return sorted(load_tenants(settings.tenants_file).tenants)


async def _refuse_wrong_clock(engine: Engine) -> None:
    """Credentials, leases and expiry are times: a worker whose clock is wrong must not work."""
    difference_s = await clock_difference_s(engine.db)
    if abs(difference_s) > MAX_CLOCK_DIFFERENCE_S:
        raise SettingsError(
            f"this machine's clock differs from the database's by {difference_s:.0f} s. Set it, then start again."
        )


async def _watch_clock(engine: Engine, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        await asyncio.sleep(_CLOCK_CHECK_S)
        try:
            await _refuse_wrong_clock(engine)
        except StoreDown:
            continue


def main() -> int:
    """Run. Returns the exit code: 0 after SIGTERM, 2 when the configuration does not let it start."""
    try:
        settings = get_settings()
        start_logging(settings, "worker", names_of)
        uvloop.run(serve(settings))
    except (SettingsError, StoreDown, OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # temporalio can abort at interpreter exit
