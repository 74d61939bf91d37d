"""A worker for runs: the workflow in its sandbox, the activities with their engine."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from activities.bundles import Bundles, load_ladder
from activities.calendars import Calendars
from activities.credentials import Issuers
from activities.emergencies import EmergencyActivities
from activities.engine import Engine
from activities.limits import LimitsBook
from activities.models import aclose_all
from activities.notify import Notifier
from activities.outgoing import OutgoingRules
from activities.registry import Registry
from activities.run_activities import RunActivities
from activities.sandbox import Boxes
from activities.services import Services
from settings import Settings
from settings.break_glass import load_break_glass
from settings.notify import load_notify
from settings.standing import load_standing
from store.database import Database
from workers.log_names import NotesTenants
from workflows.sandbox import WORKFLOWS, sandbox

__all__ = ["open_engine", "run_worker"]

_MAX_ACTIVITIES = 100
_MAX_CACHED_WORKFLOWS = 1_000
_DRAIN_S = 30


@asynccontextmanager
async def open_engine(settings: Settings) -> AsyncGenerator[Engine]:
    """Everything that activities need, with its connections.

    Raises:
        SettingsError, OSError, ValueError: a setting, a key file, the ladder or the policies cannot be used.
    """
    ladder = load_ladder(settings.ladder_file)
    registry = Registry.scan(settings.agents_dir, ladder)
    bundles = Bundles(
        registry, settings.ladder_file, tiers_file=settings.tiers_file, overlays_dir=settings.overlays_dir
    )
    bundles.current()
    outgoing = OutgoingRules(settings.output_rules_file)
    outgoing.current()
    load_break_glass(settings.break_glass_file)
    load_standing(settings.standing_file)
    services = Services({name: entry.url for name, entry in settings.services.items()})
    credentials = Issuers.of(settings)
    database = Database(settings.database_address(), role=settings.database_role, max_connections=20)
    engine = Engine(
        settings=settings,
        db=database,
        registry=registry,
        bundles=bundles,
        credentials=credentials,
        services=services,
        outgoing=outgoing,
        boxes=Boxes(settings.agents_dir),
        limits=LimitsBook(settings.limits_file),
        notifier=Notifier(
            load_notify(settings.notify_file), folder=settings.notify_file.parent, web_url=settings.web_url
        ),
        calendars=Calendars(settings.calendars_file, ladder),
    )
    async with database:
        try:
            yield engine
        finally:
            await engine.boxes.close()
            await services.close()
            await credentials.close()
            await aclose_all()


def run_worker(client: Client, engine: Engine) -> Worker:
    """The worker of a task queue; run it, and shut it down to let what is under way finish."""
    return Worker(
        client,
        task_queue=engine.settings.temporal_task_queue,
        workflows=list(WORKFLOWS),
        activities=[*RunActivities(engine).all(), *EmergencyActivities(engine).all()],
        workflow_runner=sandbox(),
        interceptors=[NotesTenants()],
        max_concurrent_activities=_MAX_ACTIVITIES,
        max_concurrent_local_activities=_MAX_ACTIVITIES,
        max_cached_workflows=_MAX_CACHED_WORKFLOWS,
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=3),
        graceful_shutdown_timeout=timedelta(seconds=_DRAIN_S),
    )
