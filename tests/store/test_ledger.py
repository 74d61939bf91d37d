"""The store's statements one by one: what each refuses, and what holds when many run at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from contracts.call import EffectState
from store.database import Database
from store.effects import doubt_effect, list_effects, renew_lease, resolve_effect, start_effect
from store.journal import CallKey, finish_call
from store.model_calls import SettledAnswer, reserve_model_call, settle_model_call
from store.runs import begin_closing
from tests.conftest import DatabaseAddresses
from tests.store.actors import READ, WRITE, finished, resolved
from tests.store.ledger_world import AGENT, AMOUNT_MINOR, BOUNDS, CALLS_MAX, TENANT, World, new_run

pytestmark = pytest.mark.req("T4", "B1")
DEED = "refund:ORD-1"


@pytest.fixture
async def world(database: DatabaseAddresses) -> AsyncIterator[World]:
    async with (
        Database(database.url, role="countersign_app", max_connections=20) as db,
        AsyncConnectionPool[Any](database.owner_url, open=False, kwargs={"autocommit": True}) as owner,
    ):
        yield World(db, owner, [await new_run(db), await new_run(db)])


def call_of(world: World, *, run: int = 0, step: int = 1, call: int = 0, visit: int = 1) -> CallKey:
    return CallKey(TENANT, world.runs[run], step, call, visit)


async def state_of(world: World, run: int = 0) -> dict[str, Any]:
    (state,) = await world.rows("run_state", world.runs[run], "run_id")
    return state


async def sent(world: World, key: CallKey, *, lease_s: float = 600, deed: str = DEED) -> tuple[int, int]:
    """A write in flight; the fences of its call and of its effect."""
    admission = await world.admit(key, WRITE, await world.load(key, WRITE), deed=deed)
    assert admission.kind == "admitted"
    began = await start_effect(
        world.db, key, admission.effect_fence, agent=AGENT, tool=WRITE, lease_s=lease_s, credential_s=lease_s + 120
    )
    assert began.kind == "started"
    return admission.fence, admission.effect_fence


async def succeeded(world: World, key: CallKey) -> None:
    fence, effect_fence = await sent(world, key)
    done = finished(key, WRITE, fence, state=EffectState.SUCCEEDED, effect_fence=effect_fence)
    assert await finish_call(world.db, key, done)


ANSWER = SettledAnswer(
    fence=1, tokens=40, micros=50, audit="{}", messages=[('{"role":"a"}', None, 5)],
    agent=AGENT, first_tool=None, values_after=0,
)  # fmt: skip


async def test_an_answer_is_settled_once(world: World) -> None:
    reservation = await reserve_model_call(world.db, TENANT, world.runs[0], 1, BOUNDS)
    assert reservation.kind == "reserved"
    settled = [await settle_model_call(world.db, TENANT, world.runs[0], 1, ANSWER) for _ in range(2)]
    assert [found.kind for found in settled] == ["settled", "lost"]
    assert (await state_of(world))["tokens_used"] == 40
    assert (await reserve_model_call(world.db, TENANT, world.runs[0], 1, BOUNDS)).kind == "stored"


async def test_an_attempt_that_was_overtaken_settles_nothing_and_counts_as_charged(world: World) -> None:
    first = await reserve_model_call(world.db, TENANT, world.runs[0], 1, BOUNDS)
    reserved = (await state_of(world))["tokens_reserved"]
    second = await reserve_model_call(world.db, TENANT, world.runs[0], 1, BOUNDS)
    assert (second.fence, second.tokens_lost) == (first.fence + 1, reserved)
    overtaken = await settle_model_call(world.db, TENANT, world.runs[0], 1, replace(ANSWER, fence=first.fence))
    holder = await settle_model_call(world.db, TENANT, world.runs[0], 1, replace(ANSWER, fence=second.fence))
    assert (overtaken.kind, holder.kind) == ("lost", "settled")
    state = await state_of(world)
    assert (state["tokens_used"], state["tokens_reserved"]) == (reserved + 40, 0)


async def test_a_settled_answer_brings_what_its_first_call_is_decided_on(world: World) -> None:
    reservation = await reserve_model_call(world.db, TENANT, world.runs[0], 1, BOUNDS)
    answer = replace(ANSWER, fence=reservation.fence, first_tool=READ)
    settled = await settle_model_call(world.db, TENANT, world.runs[0], 1, answer)
    assert settled.first_call is not None
    assert settled.first_call == replace(await world.load(call_of(world), READ), now_s=settled.first_call.now_s)


async def test_a_reservation_returns_only_the_messages_that_are_not_known(world: World) -> None:
    first = await reserve_model_call(world.db, TENANT, world.runs[0], 1, BOUNDS)
    await settle_model_call(world.db, TENANT, world.runs[0], 1, replace(ANSWER, fence=first.fence))
    known = replace(BOUNDS, known_seq=first.message_seq, known_tokens=first.message_tokens)
    whole = await reserve_model_call(world.db, TENANT, world.runs[0], 2, BOUNDS)
    rest = await reserve_model_call(world.db, TENANT, world.runs[0], 2, known)
    assert (rest.messages, rest.message_tokens) == ('[{"role":"a"}]', 5)
    assert whole.message_seq == rest.message_seq == first.message_seq + 1
    assert whole.messages == first.messages[:-1] + "," + rest.messages[1:]


@pytest.mark.parametrize(("spare", "kind"), [(0, "reserved"), (-1, "limit")])
async def test_the_last_call_that_fits_is_made_and_the_next_is_not(world: World, spare: int, kind: str) -> None:
    need = 10 + BOUNDS.overhead_tokens + BOUNDS.output_tokens  # the first messages are 10 tokens
    bounds = replace(BOUNDS, limit_tokens=need + spare)
    found = await reserve_model_call(world.db, TENANT, world.runs[0], 1, bounds)
    assert (found.kind, found.limit) == (kind, "" if kind == "reserved" else "tokens")


async def test_a_decision_on_an_older_state_admits_nothing(world: World) -> None:
    key = call_of(world)
    loaded = await world.load(key, WRITE)
    assert (await world.admit(call_of(world, call=1), READ, loaded, verdict="read")).kind == "admitted"
    before = await state_of(world)
    assert (await world.admit(key, WRITE, loaded, deed=DEED)).kind == "stale"
    assert await state_of(world) == before


async def test_a_switch_between_decision_and_admission_holds(world: World) -> None:
    key = call_of(world)
    loaded = await world.load(key, WRITE)
    async with world.db.tenant(TENANT) as cursor:
        await cursor.execute(
            "insert into switches (tenant, scope, target, reason, set_by) values (%s, 'tool', %s, 'drill', 'test')",
            (TENANT, WRITE),
        )
    admission = await world.admit(key, WRITE, loaded, deed=DEED)
    assert (admission.kind, admission.detail) == ("halted", f"tool:{WRITE}")
    assert await world.rows("effects", world.runs[0]) == []


async def test_a_burst_never_passes_the_limit_of_calls(world: World) -> None:
    async def attempt(call: int) -> str:
        key = call_of(world, call=call)
        while True:
            admission = await world.admit(key, READ, await world.load(key, READ), verdict="read")
            if admission.kind != "stale":
                return admission.kind

    kinds = Counter(await asyncio.gather(*(attempt(call) for call in range(CALLS_MAX * 4))))
    assert kinds == {"admitted": CALLS_MAX, "limit": CALLS_MAX * 3}
    assert (await state_of(world))["tool_calls"] == CALLS_MAX


async def test_another_attempt_of_an_admitted_call_is_not_another_call(world: World) -> None:
    key = call_of(world)
    for _ in range(3):
        loaded = await world.load(key, WRITE)
        assert (await world.admit(key, WRITE, loaded, deed=DEED)).kind == "admitted"
    state = await state_of(world)
    assert (state["tool_calls"], state["money_minor"], state["admitted"]) == (1, {"EUR": AMOUNT_MINOR}, {WRITE: 1})
    assert (await world.load(key, WRITE)).counted


async def test_of_two_runs_with_one_deed_at_once_one_is_admitted(world: World) -> None:
    async def attempt(run: int) -> str:
        key = call_of(world, run=run)
        return (await world.admit(key, WRITE, await world.load(key, WRITE), deed=DEED)).kind

    assert Counter(await asyncio.gather(attempt(0), attempt(1))) == {"admitted": 1, "deed_open": 1}


async def test_a_deed_that_was_done_is_decided_on_as_repeated(world: World) -> None:
    await succeeded(world, call_of(world))
    other = call_of(world, run=1)
    loaded = await world.load(other, WRITE)
    first = await world.admit(other, WRITE, loaded, deed=DEED)
    assert (first.kind, first.detail) == ("stale", "repeated")
    assert (await world.admit(other, WRITE, loaded, deed=DEED, repeated=True)).kind == "admitted"


async def test_a_holder_that_was_doubted_finishes_nothing(world: World) -> None:
    key = call_of(world)
    fence, effect_fence = await sent(world, key, lease_s=0)
    assert await doubt_effect(world.db, key, "{}")
    before = (await state_of(world), await world.rows("journal", key.run_id), await world.rows("effects", key.run_id))
    done = finished(key, WRITE, fence, state=EffectState.SUCCEEDED, effect_fence=effect_fence)
    assert not await finish_call(world.db, key, done)
    assert await renew_lease(world.db, key, effect_fence, lease_s=60, credential_s=60) is None
    after = (await state_of(world), await world.rows("journal", key.run_id), await world.rows("effects", key.run_id))
    assert after == before


async def test_a_held_lease_is_not_doubted_and_a_renewed_one_holds(world: World) -> None:
    key = call_of(world)
    _, effect_fence = await sent(world, key, lease_s=0)
    assert await renew_lease(world.db, key, effect_fence, lease_s=600, credential_s=720) is not None
    assert not await doubt_effect(world.db, key, "{}")


async def test_a_doubt_is_not_forgotten_between_admission_and_the_next_sending(world: World) -> None:
    key = call_of(world)
    await sent(world, key, lease_s=0)
    assert await doubt_effect(world.db, key, "{}")
    again = await world.admit(key, WRITE, await world.load(key, WRITE), deed=DEED, resend=True)
    assert again.kind == "admitted"
    # Here the worker dies. Prepared, but perhaps it happened before: the next one finds the doubt again.
    assert await doubt_effect(world.db, key, "{}")
    (effect,) = await list_effects(world.db, TENANT, key.run_id)
    assert (effect["state"], effect["attempts"]) == ("unknown", 1)


async def test_an_unknown_effect_is_resolved_once(world: World) -> None:
    key = call_of(world)
    await sent(world, key, lease_s=0)
    await doubt_effect(world.db, key, "{}")
    loaded = await world.load(key, WRITE)
    assert loaded.effect is not None
    found = resolved(loaded.effect.fence)
    assert [await resolve_effect(world.db, key, found) for _ in range(2)] == [True, False]
    assert (await state_of(world))["effects"] == 1


async def test_a_run_that_ends_leaves_no_effect_open(world: World) -> None:
    unsent, under_way = call_of(world), call_of(world, call=1)
    admission = await world.admit(unsent, WRITE, await world.load(unsent, WRITE), deed="one")
    fence, effect_fence = await sent(world, under_way, deed="two")
    await begin_closing(world.db, TENANT, world.runs[0], 1)
    await begin_closing(world.db, TENANT, world.runs[0], 1)
    states = [effect["state"] for effect in await world.rows("effects", world.runs[0])]
    assert states == ["failed_final", "unknown"]
    assert (await state_of(world))["money_minor"] == {"EUR": AMOUNT_MINOR}
    late = await start_effect(
        world.db, unsent, admission.effect_fence, agent=AGENT, tool=WRITE, lease_s=9, credential_s=9
    )
    assert late.kind == "lost"
    done = finished(under_way, WRITE, fence, state=EffectState.SUCCEEDED, effect_fence=effect_fence)
    assert not await finish_call(world.db, under_way, done)
    await world.check_chains()


async def test_an_answer_whose_reservation_a_breakdown_lost_is_settled_all_the_same(world: World) -> None:
    reservation = await reserve_model_call(world.db, TENANT, world.runs[0], 1, BOUNDS)
    async with world.owner.connection() as owner:
        await owner.execute("delete from journal where run_id = %s", (world.runs[0],))
        await owner.execute("update run_state set tokens_reserved = 0, micros_reserved = 0")
    settled = await settle_model_call(world.db, TENANT, world.runs[0], 1, replace(ANSWER, fence=reservation.fence))
    state = await state_of(world)
    assert settled.kind == "settled"
    assert (state["tokens_used"], state["tokens_reserved"]) == (40, 0)
    again = await settle_model_call(world.db, TENANT, world.runs[0], 1, replace(ANSWER, fence=reservation.fence))
    assert again.kind == "lost"
