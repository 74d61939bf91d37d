"""Attempts at calls, statement by statement: a scheduler advances them in any order, and drops them at any point."""

import json
import random
from collections.abc import AsyncGenerator

from contracts.call import EffectState
from store.effects import Resolution, doubt_effect, renew_lease, resolve_effect, start_effect
from store.journal import Admission, CallKey, FinishedCall, finish_call
from store.model_calls import SettledAnswer, release_model_call, reserve_model_call, settle_model_call
from tests.store.ledger_world import TENANT, WALL_S, World

__all__ = ["READ", "WRITE", "Attempt", "model_attempt", "read_attempt", "write_attempt"]

WRITE, READ = "books.move_money", "books.look_up"
ROUNDS = 40
KNOWN = {EffectState.SUCCEEDED, EffectState.FAILED_FINAL, EffectState.ABANDONED}
Attempt = AsyncGenerator[str, None]
"""Yields before each statement and each sending what it is about to do."""


async def model_attempt(world: World, run_id: str, step: int, chance: random.Random) -> Attempt:
    """One attempt at a model call: reserve, ask, settle or give back."""
    yield "reserve"
    reservation = await reserve_model_call(world.db, TENANT, run_id, step, world.bounds)
    if reservation.kind == "limit":
        world.limited.add((run_id, step))
    if reservation.kind != "reserved":
        return
    yield "ask"
    if chance.random() < 0.2:
        await release_model_call(world.db, TENANT, run_id, step, reservation, WALL_S)
        return
    yield "settle"
    tokens = chance.randint(1, 60)
    await settle_model_call(
        world.db, TENANT, run_id, step,
        SettledAnswer(
            fence=reservation.fence, tokens=tokens, micros=tokens, audit=json.dumps({"replied": step}),
            messages=[('{"role":"assistant"}', None, 7)], agent=world.agent, first_tool=None, values_after=0,
            day=reservation.day, wall_back_s=chance.randint(0, WALL_S), malformed=chance.random() < 0.2,
        ),
    )  # fmt: skip


async def read_attempt(world: World, key: CallKey) -> Attempt:
    """One attempt at a read: admit, look, finish."""
    for _ in range(ROUNDS):
        yield "load"
        loaded = await world.load(key, READ)
        if loaded.stored:
            return
        yield "admit"
        admission = await world.admit(key, READ, loaded, verdict="read")
        if admission.kind == "limit":
            yield "record"
            await world.admit(key, READ, loaded, verdict="record")
            return
        if admission.kind == "admitted":
            yield "finish"
            await finish_call(world.db, key, finished(key, READ, admission.fence, day=admission.day))
            return


async def write_attempt(world: World, key: CallKey, deed: str, chance: random.Random) -> Attempt:
    """One attempt at a write, as the gate makes it: clear a doubt, admit, start, send, finish."""
    repeated = False
    effect_key = f"{key.run_id}/{key.step}/{key.call}"
    for _ in range(ROUNDS):
        yield "load"
        loaded = await world.load(key, WRITE)
        if loaded.stored:
            return
        effect, resend = loaded.effect, False
        sent = effect is not None and effect.attempts > 0
        if effect is not None and sent and effect.state in {EffectState.IN_FLIGHT, EffectState.PREPARED}:
            yield "doubt"
            if not await doubt_effect(world.db, key, '{"doubted":1}'):
                return
            continue
        if effect is not None and effect.state in KNOWN:
            yield "tell"  # a worker or a person closed the doubt: the run learns what the ledger says
            await world.admit(key, WRITE, loaded, deed=deed, verdict="record", told='{"known":1}')
            continue
        if effect is not None and effect.state is EffectState.UNKNOWN:
            yield "probe"
            if world.provider.done[effect_key]:
                yield "resolve"
                await resolve_effect(world.db, key, resolved(effect.fence))
                return
            resend = True
        yield "admit"
        admission = await world.admit(key, WRITE, loaded, deed=deed, repeated=repeated, resend=resend)
        match admission.kind:
            case "admitted":
                async for what in _send(world, key, deed, admission, chance):
                    yield what
                return
            case "stale" if admission.detail == "repeated" and not repeated:
                repeated = True
                yield "record"  # such a call asks people; here they say no
                await world.admit(key, WRITE, loaded, deed=deed, verdict="record", told='{"denied":1}')
                return
            case "limit" | "deed_open":
                yield "record"
                await world.admit(key, WRITE, loaded, deed=deed, verdict="record", told='{"refused":1}')
                return
            case _:
                continue


async def _send(world: World, key: CallKey, deed: str, admission: Admission, chance: random.Random) -> Attempt:
    fence, effect_fence = admission.fence, admission.effect_fence
    yield "start"
    lease_s = chance.choice([0.0, 600.0])
    began = await start_effect(
        world.db, key, effect_fence, agent=world.agent, tool=WRITE, lease_s=lease_s, credential_s=600
    )
    if began.kind != "started":
        return
    if chance.random() < 0.3:
        yield "renew"
        await renew_lease(world.db, key, effect_fence, lease_s=lease_s, credential_s=600)
    yield "send"
    state = _answer(world, f"{key.run_id}/{key.step}/{key.call}", deed, chance.random())
    yield "finish"
    done = finished(key, WRITE, fence, state=state, effect_fence=effect_fence, day=admission.day)
    await finish_call(world.db, key, done)


def _answer(world: World, effect_key: str, deed: str, fate: float) -> EffectState:
    """What the service does, and what the caller hears of it."""
    if fate < 0.15:
        return EffectState.FAILED_FINAL if world.provider.refuse(effect_key) else EffectState.SUCCEEDED
    if fate < 0.3:
        return EffectState.UNKNOWN  # lost on the way there
    did = world.provider.execute(effect_key, deed)
    if fate < 0.5:
        return EffectState.UNKNOWN  # lost on the way back
    return EffectState.SUCCEEDED if did else EffectState.FAILED_FINAL


def finished(
    key: CallKey, tool: str, fence: int, *, state: EffectState | None = None, effect_fence: int = 0, day: str = ""
) -> FinishedCall:
    """What became of an admitted call."""
    unknown = state is EffectState.UNKNOWN
    return FinishedCall(
        tool=tool, fence=fence, control='{"unknown":true}' if unknown else '{"done":true}',
        message=None if unknown else ('{"role":"tool"}', 3), completed=not unknown, tainted=False,
        audit=json.dumps({"finished": [key.step, key.call, key.visit]}), effect_state=state.value if state else None,
        effect_fence=effect_fence, output=None, error="", day=day, wall_back_s=WALL_S if day else 0,
    )  # fmt: skip


def resolved(effect_fence: int) -> Resolution:
    """The service says that it happened."""
    return Resolution(
        tool=WRITE, effect_fence=effect_fence, state=EffectState.SUCCEEDED, output="{}", error="",
        control='{"done":true}', message=('{"role":"tool"}', 3), audit='{"resolved":1}',
    )  # fmt: skip
