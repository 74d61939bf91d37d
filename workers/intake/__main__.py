"""`python -m workers.intake`: serve until SIGTERM, then finish what is under way."""

import os
import signal
import sys
from types import FrameType

import uvicorn
from fastapi import FastAPI

from settings import Settings, SettingsError, get_settings
from settings.endpoint_secrets import read_endpoint_secrets
from settings.endpoints import load_endpoints
from settings.logs import start_logging
from settings.serving import serving
from settings.temporal import connect
from settings.tenants import load_tenants
from store.agents import ensure_agent_states
from store.database import Database
from workers.intake.app import create_app
from workers.intake.dispatch import Dispatcher
from workers.intake.receive import Receiver
from workers.intake.start_run import Engine

_DRAIN_S = 20


def build(settings: Settings) -> FastAPI:
    """The application as configured. Raises SettingsError."""
    tenants = load_tenants(settings.tenants_file)
    endpoints = load_endpoints(settings.endpoints_file, tenants)
    secrets = read_endpoint_secrets(endpoints, settings.endpoint_secrets_file, settings.state_dir)
    address = settings.database_address()
    store = Database(address, role=settings.database_role)
    waiting = Database(address, role=settings.dispatch_role)

    async def engine() -> Engine:
        return Engine(
            client=await connect(settings),
            task_queue=settings.temporal_task_queue,
            store_wait_s=settings.store_wait_s,
        )

    # A new agent gets its first state before its first run: without a row it is off.
    dispatcher = Dispatcher(
        waiting=waiting, store=store, connect=engine, prepare=lambda: ensure_agent_states(store, tenants)
    )
    receiver = Receiver(
        endpoints=endpoints,
        secrets=secrets,
        store=store,
        max_in_flight=settings.intake_in_flight,
        on_stored=dispatcher.wake,
    )
    return create_app(receiver, dispatcher, store, waiting, otlp_endpoint=settings.otlp_endpoint)


def main() -> int:
    """Serve. Returns the exit code: 0 after SIGTERM, 2 when the configuration does not let it start."""
    try:
        settings = get_settings()
        start_logging(settings, "intake")
        app = build(settings)
    except SettingsError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    server = uvicorn.Server(
        serving(
            app,
            host=settings.intake_host,
            port=settings.intake_port,
            log_level=settings.log_level,
            grace_s=_DRAIN_S,
        )
    )

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn drains and then raises the signal again for the handler that was there before: without one of ours the
    # process would end as if killed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.run()
    return 0 if server.started else 2


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # The Temporal SDK's runtime can abort while the interpreter shuts down; the exit code must be ours.
    os._exit(code)
