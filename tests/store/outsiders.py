"""Who else moves the ledger: workers that ask again after doubts, people who close them, sweepers of lapsed leases."""

import json
import random

from contracts.call import EffectState
from store.doubts import DueDoubt, EffectPlace, Settled, Settlement, claim_doubts, note_probe, settle_doubt
from tests.store.actors import Attempt
from tests.store.ledger_world import TENANT, World

__all__ = ["asking_worker", "person"]


async def asking_worker(world: World, chance: random.Random) -> Attempt:
    """One round of a worker: claim what is due, ask the service, keep what it says. It may be slow, or die between."""
    yield "claim"
    await _make_due(world)
    due = [doubt for doubt in await claim_doubts(world.db, TENANT, limit=50, lease_s=0) if doubt.run_id in world.runs]
    for doubt in due:
        yield "probe"
        done = bool(world.provider.done[f"{doubt.run_id}/{doubt.step}/{doubt.call}"])
        yield "settle"
        if done:
            await _settle(world, doubt, EffectState.SUCCEEDED, by="probe", fence=doubt.fence)
        else:
            await note_probe(world.db, _place(doubt), doubt.fence, "absent", again_s=chance.choice([0.0, 60.0]))


async def person(world: World, chance: random.Random) -> Attempt:
    """Somebody looks a doubt up in the books, thinks, and says what they found. Meanwhile anything may happen."""
    yield "look"
    await _make_due(world)
    due = [doubt for doubt in await claim_doubts(world.db, TENANT, limit=50, lease_s=0) if doubt.run_id in world.runs]
    if not due:
        return
    doubt = chance.choice(due)
    key = f"{doubt.run_id}/{doubt.step}/{doubt.call}"
    if chance.random() < 0.2:
        yield "abandon"
        await _settle(world, doubt, EffectState.ABANDONED, by="ulla")
    elif world.provider.done[key]:
        yield "happened"
        await _settle(world, doubt, EffectState.SUCCEEDED, by="ulla")
    else:
        yield "too early"
        early = await _settle(world, doubt, EffectState.FAILED_FINAL, by="ulla")
        # What was sent may still arrive: its credential is good for minutes.
        assert early.kind in {"credential", "known"}, early
        yield "did not happen"
        # The second statement is true only of what cannot arrive any more: they have the service refuse the key.
        if world.provider.refuse(key):
            await _settle(world, doubt, EffectState.FAILED_FINAL, by="ulla", said_twice=True)


async def _make_due(world: World) -> None:
    async with world.owner.connection() as connection:
        await connection.execute(
            "update effects set next_probe_at = now() where state = 'unknown' and run_id = any(%s)", (world.runs,)
        )


def _place(doubt: DueDoubt) -> EffectPlace:
    return EffectPlace(TENANT, doubt.run_id, doubt.step, doubt.call)


async def _settle(
    world: World, doubt: DueDoubt, state: EffectState, *, by: str, fence: int | None = None, said_twice: bool = False
) -> Settled:
    assert state in (EffectState.SUCCEEDED, EffectState.FAILED_FINAL, EffectState.ABANDONED)
    found = Settlement(
        state=state, output="{}" if state is EffectState.SUCCEEDED else None, error="", by=by, said_twice=said_twice,
        audit=json.dumps({"resolved": [doubt.step, doubt.call], "by": by}), fence=fence,
    )  # fmt: skip
    async with world.db.tenant(TENANT) as cursor:
        return await settle_doubt(cursor, _place(doubt), found)
