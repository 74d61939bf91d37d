"""One transaction of one tenant, for a command that asks or changes the store and nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from cli.operators import store_of, unreachable
from settings import Settings
from store.database import StoreDown

__all__ = ["in_store"]

FoundT = TypeVar("FoundT")


def in_store(settings: Settings, tenant: str, work: Callable[[AsyncCursor[DictRow]], Awaitable[FoundT]]) -> FoundT:
    """What the work returns. Raises CliError: the store does not answer."""

    async def within() -> FoundT:
        async with store_of(settings) as database, database.tenant(tenant) as cursor:
            return await work(cursor)

    try:
        return asyncio.run(within())
    except StoreDown as error:
        raise unreachable(error) from error
