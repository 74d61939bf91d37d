"""What a run's timeline does not hold itself: that somebody ordered it to be taken back, and by which run."""

from collections.abc import Sequence

from cli.output import CliError, say
from cli.run_source import open_store
from settings import Settings
from store.database import StoreDown
from store.runs import load_run
from store.undo import orders_of

__all__ = ["print_undo_links"]


async def print_undo_links(settings: Settings, tenants: Sequence[str], run_id: str) -> None:
    """One line for each order about this run. A store that is down takes nothing from the timeline above."""
    try:
        async with open_store(settings) as store:
            for tenant in tenants:
                async with store.tenant(tenant) as cursor:
                    orders = await orders_of(cursor, tenant, run_id)
                for order in orders:
                    undo = await load_run(store, tenant, order.run_id)
                    state = str(undo["outcome"] or "under way") if undo else "not started yet"
                    where = f" (step {order.of_step})" if order.of_step else ""
                    say(f"undo{where} ordered by {order.person}: {order.run_id}, {state}. {order.reason}")
    except (StoreDown, CliError) as error:
        say(f"whether it was undone cannot be read: {error}")
