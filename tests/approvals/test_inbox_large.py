"""100,000 requests: no list, search, count or page of them reads more than a small, bounded part of the tables.

Blocks and rows are counted, not milliseconds: they are the same on every machine, and what grows with the table shows.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, LiteralString

import pytest
from psycopg import AsyncCursor
from psycopg.rows import DictRow

from benchmarks.approval_data import GROUPS, PERSONS, fill
from store.approval_lists import MAX_FOUND, Reader, RequestQuery, count_open, list_requests
from store.database import Database
from store.vote_lists import DecisionQuery, list_decisions
from tests.conftest import DatabaseAddresses

pytestmark = [pytest.mark.long, pytest.mark.timeout(1_800), pytest.mark.req("A2", "O5")]
TENANT = "acme"
MAX_BLOCKS = 20_000
"""Of 8 KB, most of them the same few of an index again: 10 to 20 ms of reading from memory."""
BUSY = Reader(person=PERSONS[7], username=PERSONS[7], groups=(GROUPS[1], GROUPS[3]))
IDLE = Reader(person="nobody", username="nobody", groups=("empty",))


class Counting:
    """A cursor that has Postgres explain each query, and adds up the blocks that were read."""

    def __init__(self, cursor: AsyncCursor[DictRow]) -> None:
        self._cursor = cursor
        self.blocks = 0

    async def execute(self, query: LiteralString, params: Any = None) -> None:  # noqa: ANN401 - psycopg's parameters
        """Run it, twice: once for its plan."""
        if not query.startswith("set "):
            await self._cursor.execute("explain (analyze, buffers, format json) " + query, params)
            row = await self._cursor.fetchone()
            assert row is not None
            plan = row["QUERY PLAN"][0]["Plan"]
            assert "approval_requests" not in self.scanned(plan), plan
            self.blocks += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        await self._cursor.execute(query, params)

    def scanned(self, plan: dict[str, Any]) -> set[str]:
        """Tables that are read from end to end."""
        whole = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set[str]()
        return whole.union(*(self.scanned(part) for part in plan.get("Plans", ())))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the cursor has
        return getattr(self._cursor, name)


@pytest.fixture(scope="module")
def filled(module_database: DatabaseAddresses) -> DatabaseAddresses:
    async def filling() -> None:
        async with Database(module_database.url, role="countersign_app") as database:
            await fill(database, module_database.owner_url, TENANT, requests=100_000, open_requests=2_000)

    asyncio.run(filling())
    return module_database


@pytest.fixture
async def full(filled: DatabaseAddresses) -> AsyncGenerator[Database]:
    async with Database(filled.url, role="countersign_app") as database:
        yield database


CASES: list[dict[str, Any]] = [
    {"state": state, "scope": scope, "sort": sort, "reader": reader}
    for reader in (BUSY, IDLE)
    for state, sorts in (("open", ("sla", "age", "risk")), ("history", ("sla",)))
    for scope in ("mine", "groups", "all")
    for sort in sorts
] + [
    {"state": state, "scope": "all", "reader": BUSY, "search": search}
    for state in ("open", "history")
    for search in ("target_00001234", "target_", "payments.issue_refund", "agent_3 refund target_000", "none", "run-")
] + [
    {"state": "history", "scope": "all", "reader": BUSY, "outcome": outcome}
    for outcome in ("granted", "denied", "expired", "voided")
]  # fmt: skip


async def test_no_list_of_requests_reads_much(full: Database) -> None:
    read: dict[str, int] = {}
    for case in CASES:
        page = None
        for _ in range(3):  # the third page costs no more than the first
            query = RequestQuery.model_validate({**case, "after": page.next if page else ""})
            async with full.tenant(TENANT) as cursor:
                counting = Counting(cursor)
                page = await list_requests(counting, TENANT, query)  # pyright: ignore[reportArgumentType] - it stands for a cursor
            read[f"{case | {'reader': case['reader'].person}} {query.after}"] = counting.blocks
            if not page.next:
                break
    assert {case: blocks for case, blocks in read.items() if blocks > MAX_BLOCKS} == {}
    assert len(read) > 2 * len(CASES)


async def test_counts_and_decisions_read_little(full: Database) -> None:
    async with full.tenant(TENANT) as cursor:
        counting = Counting(cursor)
        counts = await count_open(counting, TENANT, BUSY)  # pyright: ignore[reportArgumentType] - it stands for a cursor
        assert (counts.all, 0 < counts.mine <= counts.groups, counting.blocks < MAX_BLOCKS) == (
            MAX_FOUND + 1,
            True,
            True,
        )
    asked: list[dict[str, Any]] = [
        {}, {"person": PERSONS[7]}, {"person": "nobody"}, {"verdict": "deny"},
        {"person": PERSONS[7], "verdict": "edit"},
    ]  # fmt: skip
    for one in asked:
        async with full.tenant(TENANT) as cursor:
            counting = Counting(cursor)
            await list_decisions(counting, TENANT, DecisionQuery.model_validate(one))  # pyright: ignore[reportArgumentType] - it stands for a cursor
            assert counting.blocks < 1_000, one
