"""Budgets of a day, rates and cut-off tools on a real Postgres: caps are exact, whoever comes at once."""

import asyncio
import dataclasses
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from contracts.call import EffectState
from store.database import Database
from store.effects import start_effect
from store.journal import Admission, CallKey, finish_call
from store.limits import (
    LimitChange,
    change_limits,
    day_usage,
    drop_reads,
    find_read,
    join_tree,
    keep_read,
    list_breakers,
    note_outcome,
    pass_breaker,
    run_usage,
)
from store.model_calls import release_model_call, reserve_model_call, settle_model_call
from store.runs import begin_closing
from tests.conftest import DatabaseAddresses
from tests.store.actors import READ, WRITE, finished
from tests.store.ledger_world import AGENT, AMOUNT_MINOR, AMPLE, CALLS_MAX, TENANT, WALL_S, World, day_limits, new_run
from tests.store.test_ledger import ANSWER

pytestmark = pytest.mark.req("B1", "T6")
NEED_TOKENS = 110
"""Of the first model call of a run of this world: its messages, framing and the longest answer."""
MANY = 30


@pytest.fixture
async def db(database: DatabaseAddresses) -> AsyncIterator[Database]:
    async with Database(database.url, role="countersign_app", max_connections=40) as opened:
        yield opened


@pytest.fixture
async def world(db: Database, database: DatabaseAddresses) -> AsyncIterator[World]:
    async with AsyncConnectionPool[Any](database.owner_url, open=False, kwargs={"autocommit": True}) as owner:
        yield World(db, owner, [await new_run(db) for _ in range(MANY)])


def capped(world: World, **caps: int) -> None:
    world.caps = {**AMPLE, **caps}


def called(limits: str, **changes: object) -> str:
    return json.dumps(json.loads(limits) | changes)


async def one_call(world: World, run_id: str, limits: str, *, write: bool = False, step: int = 1) -> Admission:
    """Admit a call under these limits, deciding again as often as something moved."""
    key = CallKey(TENANT, run_id, step, 0, 1)
    world.limits = limits
    while True:
        tool = WRITE if write else READ
        loaded = await world.load(key, tool)
        admission = await world.admit(
            key, tool, loaded, verdict="write" if write else "read", deed=f"{run_id}/{step}" if write else "",
        )  # fmt: skip
        if admission.kind != "stale":
            return admission


async def counter(world: World, scope: str = "agent", subject: str = AGENT) -> dict[str, Any]:
    async with world.db.tenant(TENANT) as cursor:
        await cursor.execute("select * from counters where scope = %s and subject = %s", (scope, subject))
        return await cursor.fetchone() or {}


async def test_a_burst_of_model_calls_reserves_exactly_what_the_day_has(world: World) -> None:
    capped(world, tokens=10 * NEED_TOKENS)
    found = await asyncio.gather(*(reserve_model_call(world.db, TENANT, run, 1, world.bounds) for run in world.runs))
    assert Counter((each.kind, each.limit) for each in found) == {
        ("reserved", ""): 10,
        ("limit", "agent_day.tokens"): MANY - 10,
    }
    assert (await counter(world))["tokens"] == 10 * NEED_TOKENS
    await world.check_day()
    async with world.db.tenant(TENANT) as cursor:
        await cursor.execute("select kind, subject from alarms")
        alarms = [tuple(row.values()) for row in await cursor.fetchall()]
    assert alarms == [("day_limit_met", f"agent_day.tokens {AGENT}")]  # once, however many were refused


async def test_what_runs_do_not_use_is_there_for_others(world: World) -> None:
    capped(world, tokens=10 * NEED_TOKENS)
    for run in world.runs[:20]:
        reservation = await reserve_model_call(world.db, TENANT, run, 1, world.bounds)
        assert reservation.kind == "reserved"
        await settle_model_call(
            world.db, TENANT, run, 1, dataclasses.replace(ANSWER, day=reservation.day, wall_back_s=WALL_S)
        )
        await world.db.call("select * from close_run(%s, %s, 'completed', 'done', '', '{}', '{}')", (TENANT, run))
    usage = await counter(world)
    assert (usage["tokens"], usage["wall_s"], usage["model_calls"]) == (20 * 40, 0, 20)
    await world.check_day()


async def test_a_released_attempt_costs_the_day_nothing(world: World) -> None:
    run = world.runs[0]
    reservation = await reserve_model_call(world.db, TENANT, run, 1, world.bounds)
    for _ in range(2):
        await release_model_call(world.db, TENANT, run, 1, reservation, WALL_S)
    await world.close()
    usage = await counter(world)
    assert [usage[measure] for measure in ("tokens", "micros", "model_calls", "wall_s")] == [0, 0, 0, 0]


async def test_an_answer_that_never_came_counts_as_charged_when_the_run_ends(world: World) -> None:
    run = world.runs[0]
    await reserve_model_call(world.db, TENANT, run, 1, world.bounds)
    await reserve_model_call(world.db, TENANT, run, 1, world.bounds)
    await world.close()
    usage, of_run = await counter(world), await run_usage(world.db, TENANT, run)
    assert of_run is not None
    assert (usage["tokens"], usage["model_calls"], usage["retries"]) == (2 * NEED_TOKENS, 2, 1)
    assert (of_run.tokens_used, of_run.tokens_reserved, of_run.retries) == (2 * NEED_TOKENS, 0, 1)
    await world.check_day(closed=True)


async def test_a_burst_of_writes_moves_exactly_what_the_day_has(world: World) -> None:
    limits = day_limits(money_max=7 * AMOUNT_MINOR + 1)
    found = await asyncio.gather(*(one_call(world, run, limits, write=True) for run in world.runs))
    assert Counter((each.kind, each.detail) for each in found) == {
        ("admitted", ""): 7,
        ("limit", "agent_day.money.EUR"): MANY - 7,
    }
    assert (await counter(world))["money"] == {"EUR": 7 * AMOUNT_MINOR}


async def test_a_currency_that_is_not_listed_is_not_moved(world: World) -> None:
    limits = called(day_limits(), money={"agent": {}, "tenant": {"USD": 10**9}, "tool": {}})
    admission = await one_call(world, world.runs[0], limits, write=True)
    assert (admission.kind, admission.detail) == ("limit", "tenant_day.money.EUR")


async def test_only_a_write_that_certainly_failed_gives_its_money_back(world: World) -> None:
    limits = day_limits(money_max=2 * AMOUNT_MINOR)
    failed, lost, unsent, late = world.runs[:4]
    for run, state in ((failed, EffectState.FAILED_FINAL), (lost, EffectState.UNKNOWN)):
        admission = await one_call(world, run, limits, write=True)
        key = CallKey(TENANT, run, 1, 0, 1)
        await start_effect(
            world.db, key, admission.effect_fence, agent=AGENT, tool=WRITE, lease_s=600, credential_s=600
        )
        done = finished(
            key, WRITE, admission.fence, state=state, effect_fence=admission.effect_fence, day=admission.day
        )
        assert await finish_call(world.db, key, done)
    assert (await counter(world))["money"] == {"EUR": AMOUNT_MINOR}
    assert (await one_call(world, unsent, limits, write=True)).kind == "admitted"
    assert (await one_call(world, late, limits, write=True)).kind == "limit"
    await begin_closing(world.db, TENANT, unsent, 1)
    assert (await one_call(world, late, limits, write=True)).kind == "admitted"
    assert (await counter(world, "tool", WRITE))["money"] == {"EUR": 2 * AMOUNT_MINOR}


async def test_a_burst_never_passes_a_rate_and_is_told_when_to_come_back(world: World) -> None:
    limits = called(day_limits(), per_minute=7)
    found = await asyncio.gather(*(one_call(world, run, limits) for run in world.runs))
    assert Counter((each.kind, each.detail) for each in found) == {
        ("admitted", ""): 7,
        ("rate", "rate_per_minute"): MANY - 7,
    }
    assert all(0 < each.retry_after_s <= 62 for each in found if each.kind == "rate")
    calls = [(await world.rows("run_state", run, "run_id"))[0]["tool_calls"] for run in world.runs]
    assert sum(calls) == 7  # waiting costs no quota


async def test_a_rate_per_day_is_exact_and_ends_with_the_day(world: World) -> None:
    limits = called(day_limits(), per_day=5)
    found = await asyncio.gather(*(one_call(world, run, limits) for run in world.runs))
    assert Counter(each.kind for each in found) == {"admitted": 5, "rate": MANY - 5}
    assert all(0 < each.retry_after_s <= 86_400 for each in found if each.kind == "rate")
    assert (await counter(world, "tool", READ))["tool_calls"] == 5


async def test_no_sixty_seconds_hold_more_calls_than_the_rate(world: World) -> None:
    chance, rate = random.Random(20261121), 5
    admitted: list[float] = []
    now_s = 0.0
    async with world.db.tenant(TENANT) as cursor:
        for _ in range(300):
            passed_s = chance.choice([0, 0, 1, 3, 10, 30, 61, 200])
            # As if that time had passed: the window's newest second lies so much further back.
            await cursor.execute("update rate_windows set at_s = at_s - %s", (passed_s,))
            now_s += passed_s
            await cursor.execute("select * from take_turn(%s, 'a.tool', %s)", (TENANT, rate))
            row = await cursor.fetchone()
            if row is not None and row["wait_s"] is None:
                admitted.append(now_s)
            recent = [at_s for at_s in admitted if now_s - at_s < 60]
            assert len(recent) <= rate
            # It does not refuse for longer than the window and the two seconds that it rounds by.
            free = sum(now_s - at_s <= 62 for at_s in admitted) < rate
            assert not free or admitted[-1] == now_s


async def test_what_policy_decided_on_must_still_hold(world: World) -> None:
    first, second = world.runs[:2]
    limits = day_limits()
    key = CallKey(TENANT, second, 1, 0, 1)
    loaded = await world.load(key, WRITE, zone="UTC")
    assert loaded.today is not None
    assert (loaded.today.calls, loaded.today.money) == (0, {})
    assert (await one_call(world, first, limits, write=True)).kind == "admitted"
    stale = await world.admit(key, WRITE, loaded, deed="other")
    assert (stale.kind, stale.detail) == ("stale", "today")
    again = await world.load(key, WRITE, zone="UTC")
    assert again.today is not None
    assert (again.today.calls, again.today.money) == (1, {"EUR": AMOUNT_MINOR})
    admission = await world.admit(key, WRITE, again, deed="other")
    assert admission.kind == "admitted"


async def test_another_attempt_at_an_admitted_call_is_a_retry_not_a_call(world: World) -> None:
    run = world.runs[0]
    limits = called(day_limits(), per_minute=1)
    assert (await one_call(world, run, limits)).kind == "admitted"
    assert (await one_call(world, run, limits)).kind == "admitted"
    (state,) = await world.rows("run_state", run, "run_id")
    assert (state["tool_calls"], state["retries"]) == (1, 1)


async def test_a_new_day_begins_with_everything_and_the_old_one_gets_its_rest(world: World) -> None:
    capped(world, tokens=2 * NEED_TOKENS)
    run, other = world.runs[:2]
    first = await reserve_model_call(world.db, TENANT, run, 1, world.bounds)
    async with world.owner.connection() as connection:
        await connection.execute("update counters set period = '2026-01-01'")
        await connection.execute(
            "update run_state set allot_day = '2026-01-01', allot_until = now() where run_id = %s", (run,)
        )
    # Answered after midnight: what was not used stays counted on the day of its reservation.
    await settle_model_call(world.db, TENANT, run, 1, dataclasses.replace(ANSWER, day="2026-01-01"))
    assert (await reserve_model_call(world.db, TENANT, run, 2, world.bounds)).kind == "reserved"
    assert (await reserve_model_call(world.db, TENANT, other, 1, world.bounds)).kind == "limit"
    async with world.db.tenant(TENANT) as cursor:
        await cursor.execute("select tokens from counters where scope = 'agent' and period = '2026-01-01'")
        old = await cursor.fetchone()
    assert first.kind == "reserved"
    assert old == {"tokens": 40}


async def test_one_budget_over_a_run_and_its_children(world: World) -> None:
    root, child, other = world.runs[:3]
    limits = day_limits()
    assert (await reserve_model_call(world.db, TENANT, root, 1, world.bounds)).kind == "reserved"
    await join_tree(world.db, TENANT, root, child, limits)
    await join_tree(world.db, TENANT, root, other, limits)
    answers: list[str] = []
    for step in range(1, 5):
        for run in (child, other):
            found = await reserve_model_call(world.db, TENANT, run, step, world.bounds)
            answers.append(found.limit or found.kind)
    tree = await counter(world, "tree", root)
    assert tree["tokens"] <= 700
    assert answers.count("tree.tokens") >= 1
    states = [(await world.rows("run_state", run, "run_id"))[0] for run in (root, child, other)]
    assert sum(s["tokens_used"] + s["tokens_reserved"] + s["left_tokens"] for s in states) == tree["tokens"]


async def test_a_raise_holds_once_and_a_days_cap_is_raised_for_the_day(world: World) -> None:
    capped(world, tokens=NEED_TOKENS)
    run, other = world.runs[:2]
    assert (await reserve_model_call(world.db, TENANT, other, 1, world.bounds)).kind == "reserved"
    assert (await reserve_model_call(world.db, TENANT, run, 1, world.bounds)).limit == "agent_day.tokens"
    change = LimitChange(
        step=1, ordinal=1, changes={"tool_calls": 2}, kind="limits", audit="{}",
        day={"scope": "agent", "subject": AGENT, "measure": "tokens", "by": NEED_TOKENS},
    )  # fmt: skip
    assert [await change_limits(world.db, TENANT, run, change) for _ in range(2)] == ["done", "stored"]
    assert (await reserve_model_call(world.db, TENANT, run, 1, world.bounds)).kind == "reserved"
    for step in range(1, CALLS_MAX + 3):
        assert (await one_call(world, run, day_limits(), step=step)).kind == "admitted"
    assert (await one_call(world, run, day_limits(), step=CALLS_MAX + 3)).detail == "tool_calls"
    await world.check_chains()


async def test_doubt_halves_what_is_left(world: World) -> None:
    run = world.runs[0]
    for step in (1, 2):
        admission = await one_call(world, run, day_limits(), step=step)
        key = CallKey(TENANT, run, step, 0, 1)
        done = finished(key, READ, admission.fence, day=admission.day)
        assert await finish_call(world.db, key, dataclasses.replace(done, shrinks=day_limits()))
    usage = await run_usage(world.db, TENANT, run)
    assert usage is not None
    assert usage.limit_changes == {"tokens": -350 - 175, "usd": -1_000 - 500, "tool_calls": -2 - 1, "doubts": 2}
    found = [(await one_call(world, run, day_limits(), step=step)).kind for step in (3, 4)]
    assert found == ["admitted", "limit"]


async def test_the_days_usage_tells_used_from_held(world: World) -> None:
    run = world.runs[0]
    reservation = await reserve_model_call(world.db, TENANT, run, 1, world.bounds)
    await settle_model_call(world.db, TENANT, run, 1, dataclasses.replace(ANSWER, day=reservation.day))
    usage = await day_usage(world.db, TENANT, "UTC")
    (of_agent,) = [each for each in usage.counters if each.scope == "agent"]
    assert of_agent.tokens - usage.held[AGENT].tokens == 40
    assert usage.held[AGENT].runs == 1


@pytest.mark.req("T6")
async def test_a_tool_that_stops_answering_is_cut_off_probed_and_restored(world: World) -> None:
    rules = {"failures": 3, "of_last": 5, "window_s": 600, "open_s": 60}
    failing = [True, False, True, False, False, True, True]
    states = [(await note_outcome(world.db, TENANT, READ, failed=failed, **rules))[0] for failed in failing]
    assert states == ["closed"] * 6 + ["open"]
    cut = await pass_breaker(world.db, TENANT, READ)
    assert cut is not None
    assert 0 < cut.wait_s <= 60
    assert await pass_breaker(world.db, "globex", READ) is None  # another tenant's is its own affair

    async def time_passes() -> None:
        async with world.owner.connection() as connection:
            await connection.execute("update breakers set until = now()")

    await time_passes()
    passed = await asyncio.gather(*(pass_breaker(world.db, TENANT, READ) for _ in range(20)))
    assert sum(each is None for each in passed) == 1  # one probe at a time
    assert (await note_outcome(world.db, TENANT, READ, failed=True, **rules)) == ("open", True)
    again = await pass_breaker(world.db, TENANT, READ)
    assert again is not None
    assert 60 < again.wait_s <= 120  # twice as long
    await time_passes()
    assert await pass_breaker(world.db, TENANT, READ) is None
    assert (await note_outcome(world.db, TENANT, READ, failed=False, **rules)) == ("closed", True)
    assert await list_breakers(world.db, TENANT) == []
    async with world.db.tenant(TENANT) as cursor:
        await cursor.execute("select kind from alarms order by alarm_id")
        assert [row["kind"] for row in await cursor.fetchall()] == ["tool_cut_off", "tool_cut_off", "tool_restored"]


@pytest.mark.req("T8")
async def test_a_kept_read_is_its_tenants_alone_and_ends_with_a_write_or_its_time(world: World) -> None:
    async def keep(tenant: str, output: str) -> None:
        await keep_read(world.db, tenant, "k", resource="Order/1", output=output, run_id="run-a", for_s=60)

    await keep(TENANT, '{"of":"acme"}')
    assert await find_read(world.db, "globex", "k") is None
    await keep("globex", '{"of":"globex"}')
    found = await find_read(world.db, TENANT, "k")
    assert found is not None
    assert found.output == '{"of":"acme"}'
    await drop_reads(world.db, TENANT, "Order/1")
    assert await find_read(world.db, TENANT, "k") is None
    assert await find_read(world.db, "globex", "k") is not None
    async with world.owner.connection() as connection:
        await connection.execute("update cached_reads set expires_at = now()")
    assert await find_read(world.db, "globex", "k") is None
