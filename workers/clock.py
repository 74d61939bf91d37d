"""This machine's clock beside the database's, which is the one that counts."""

import time

from store.database import Database

__all__ = ["clock_difference_s"]


async def clock_difference_s(db: Database) -> float:
    """Seconds by which this machine is ahead of the database: at least so many, however long the question took."""
    began = time.time()
    async with db.everywhere() as cursor:
        await cursor.execute("select extract(epoch from clock_timestamp())::float8 as now")
        row = await cursor.fetchone()
    ended = time.time()
    # The database's clock was read some time between our two looks.
    return min(max(began, row["now"]), ended) - row["now"] if row else 0.0
