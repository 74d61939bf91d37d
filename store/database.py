"""Connections: a pool, one tenant per transaction, one error for "the store cannot be reached"."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import LiteralString, Self

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.abc import Params
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

__all__ = ["Database", "StoreDown"]

_CONNECT_TIMEOUT_S = 5
_STATEMENT_TIMEOUT_MS = 15_000
_POOL_WAIT_S = 10


class StoreDown(Exception):  # noqa: N818 - what the caller knows then, said plainly
    """The database cannot be reached, or broke off; of a write under way nothing is known."""


class Database:
    """A pool of connections as one role.

    Every transaction is of one tenant, set for that transaction only; row-level security then shows no other
    tenant's rows. The dispatch role sees every tenant, but only what waits to be delivered.
    """

    def __init__(self, url: str, *, role: str, max_connections: int = 10) -> None:
        self.url = url
        self.role = role
        self._pool = AsyncConnectionPool[AsyncConnection[DictRow]](
            url,
            min_size=0,
            max_size=max_connections,
            open=False,
            timeout=_POOL_WAIT_S,
            reconnect_timeout=1,
            check=None,
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "connect_timeout": _CONNECT_TIMEOUT_S,
                "prepare_threshold": 1,
                # Our functions look up single rows: planning them anew for each value costs more than it saves.
                "options": f"-c role={role} -c statement_timeout={_STATEMENT_TIMEOUT_MS} -c timezone=UTC"
                " -c plan_cache_mode=force_generic_plan",
                "application_name": f"countersign/{role}",
            },
        )

    async def open(self) -> None:
        """Start the pool; connections are made when they are needed."""
        await self._pool.open()

    async def close(self) -> None:
        """End all connections."""
        await self._pool.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[AsyncConnection[DictRow]]:
        with _store_faults():
            async with self._pool.connection() as connection:
                yield connection

    async def call(self, statement: LiteralString, params: Params) -> DictRow:
        """Run one statement that returns one row: a function of `store/sql`, which sets the tenant itself."""
        with _store_faults():
            connection = await self._pool.getconn()
            try:
                row = await (await connection.execute(statement, params)).fetchone()
            finally:
                await self._pool.putconn(connection)
        if row is None:
            msg = "a function of store/sql returned no row"
            raise RuntimeError(msg)
        return row

    async def flush(self) -> None:
        """Wait until everything that was committed so far is on disk, on whatever connection."""
        await self.call("select pg_logical_emit_message(true, 'countersign', '') as lsn", ())

    @asynccontextmanager
    async def tenant(self, tenant: str) -> AsyncGenerator[AsyncCursor[DictRow]]:
        """A transaction of one tenant: committed at the end of the block, rolled back on an exception."""
        async with self._connection() as connection, connection.transaction(), connection.cursor() as cursor:
            await cursor.execute("select set_config('countersign.tenant', %s, true)", (tenant,))
            yield cursor

    @asynccontextmanager
    async def everywhere(self) -> AsyncGenerator[AsyncCursor[DictRow]]:
        """A transaction without a tenant: for the dispatch role, and for tables that have none."""
        async with self._connection() as connection, connection.transaction(), connection.cursor() as cursor:
            yield cursor


@contextmanager
def _store_faults() -> Generator[None]:
    try:
        yield
    except PoolTimeout as error:
        msg = "the database gave no connection in time"
        raise StoreDown(msg) from error
    except psycopg.OperationalError as error:
        # Also raised for a connection that broke in the middle: whether a commit arrived is not known.
        msg = f"the database broke off: {type(error).__name__}"
        raise StoreDown(msg) from error
