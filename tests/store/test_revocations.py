"""Revocation epochs and agent states over a real Postgres: walled by tenant, append-only, in the order of commits."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import psycopg.errors
import pytest

from contracts.agent import Stage
from settings.signing_keys import new_key, rotated
from settings.tenants import InitialState, Tenant, TenantsFile
from store.agents import WantedState, agent_changes, change_agent, ensure_agent_states, find_agent
from store.credential_keys import key_rows, publish_keys, published_keys, retire_credential_key
from store.database import Database
from store.revocations import MAX_NEWS, Scope, current_epoch, list_revocations, news, revoke
from tests.conftest import DatabaseAddresses

AGENT = "support_refund"


@pytest.fixture
async def store(database: DatabaseAddresses) -> AsyncIterator[Database]:
    async with Database(database.url, role="countersign_app") as opened:
        agents = {AGENT: InitialState(stage="gated_writes", tier_ceiling=3)}
        both = {name: Tenant(name=name, agents=agents) for name in ("acme", "globex")}
        await ensure_agent_states(opened, TenantsFile(tenants=both))
        yield opened


@pytest.fixture
async def dispatch(database: DatabaseAddresses) -> AsyncIterator[Database]:
    async with Database(database.url, role="countersign_dispatch") as opened:
        yield opened


async def raised(store: Database, scope: Scope, target: str, tenant: str = "acme") -> int:
    async with store.tenant(tenant) as cursor:
        return await revoke(cursor, tenant=tenant, scope=scope, target=target, by="ann", reason="a test")


async def epoch_of(store: Database, tenant: str = "acme", run_id: str = "run-1", tool: str = "a.pay") -> int:
    async with store.tenant(tenant) as cursor:
        return await current_epoch(cursor, tenant=tenant, run_id=run_id, agent=AGENT, tool=tool)


@pytest.mark.req("I3")
async def test_a_credential_carries_the_highest_epoch_of_its_scopes(store: Database) -> None:
    assert await epoch_of(store) == 0
    seen = [await epoch_of(store)]
    scopes: tuple[tuple[Scope, str], ...] = (("run", "run-1"), ("agent", AGENT), ("tool", "a.pay"), ("tenant", "*"))
    every: tuple[tuple[Scope, str], ...] = (*scopes, ("run", "run-1"))
    for scope, target in every:
        epoch = await raised(store, scope, target)
        assert await epoch_of(store) == epoch > seen[-1]
        seen.append(epoch)
    assert await epoch_of(store, run_id="run-2", tool="b.look") == seen[4]
    assert await epoch_of(store, tenant="globex") == 0
    everybody = await raised(store, "tenant", "*", tenant="*")
    assert await epoch_of(store, tenant="globex") == everybody


@pytest.mark.req("I3")
async def test_epochs_rise_in_the_order_of_commits(store: Database) -> None:
    # Two at once: the one that commits first has the lower number, or a credential between them would escape.
    async with store.tenant("acme") as first:
        one = await revoke(first, tenant="acme", scope="tenant", target="*", by="ann", reason="one")
        other = asyncio.create_task(raised(store, "run", "run-1"))
        waiting = "select count(*) as n from pg_locks where locktype = 'advisory' and not granted"
        while True:
            async with store.everywhere() as cursor:
                row = await (await cursor.execute(waiting)).fetchone()
            if row and row["n"] == 1:
                break
    assert await other > one


@pytest.mark.req("I5")
async def test_a_tenant_sees_and_raises_only_its_own(store: Database, dispatch: Database) -> None:
    await raised(store, "run", "run-1")
    await raised(store, "run", "run-1", tenant="globex")
    async with store.tenant("acme") as cursor:
        assert {one.tenant for one in await list_revocations(cursor, "acme")} == {"acme"}
        await cursor.execute("select distinct tenant from revocations")
        assert [row["tenant"] for row in await cursor.fetchall()] == ["acme"]
    for tenant in ("globex", "*"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with store.tenant("acme") as cursor:
                await revoke(cursor, tenant=tenant, scope="tenant", target="*", by="eve", reason="not hers")
    told = await news(dispatch)
    assert {key[0] for key in told} == {"acme", "globex"}
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await raised(dispatch, "run", "run-1")


@pytest.mark.req("H5")
async def test_what_was_revoked_stays_written(store: Database, database: DatabaseAddresses) -> None:
    await raised(store, "run", "run-1")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with store.tenant("acme") as cursor:
            await cursor.execute("update revocations set reason = 'another'")
    with psycopg.connect(database.owner_url) as owner, pytest.raises(psycopg.errors.InsufficientPrivilege):
        owner.execute("delete from revocations")
    for scope, target in (("run", "*"), ("tenant", "acme"), ("planet", "earth")):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            async with store.tenant("acme") as cursor:
                await cursor.execute("select revoke_credentials('acme', %s, %s, 'ann', 'x')", (scope, target))


async def test_too_much_news_becomes_one_for_everybody(
    store: Database, dispatch: Database, database: DatabaseAddresses
) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute(
            """insert into revocations (tenant, scope, target, revoked_by, reason)
               select 'acme', 'run', 'run-' || n, 'ann', 'x' from generate_series(1, %s) n""",
            (MAX_NEWS + 1,),
        )
    assert await news(dispatch) == {("*", "tenant", "*"): MAX_NEWS + 1}


@pytest.mark.req("I1")
async def test_a_change_says_who_why_and_holds_only_on_what_was_seen(store: Database) -> None:
    async with store.tenant("acme") as cursor:
        seen = await find_agent(cursor, "acme", AGENT)
    assert seen is not None
    off = seen.wanted.model_copy(update={"enabled": False})
    done = await change_agent(store, seen, "disable", off, by="ann", role="kill", reason="INC-1")
    assert (done.kind, done.version) == ("changed", 2)
    assert done.epoch == await epoch_of(store) > 0
    late = WantedState(enabled=True, stage=Stage.LIMITED_AUTONOMY, tier_ceiling=4)
    assert (await change_agent(store, seen, "stage", late, by="eve", role="x", reason="x")).kind == "moved"
    async with store.tenant("acme") as cursor:
        now = await find_agent(cursor, "acme", AGENT)
        [change] = await agent_changes(cursor, "acme", AGENT)
    assert now is not None
    assert (now.enabled, now.stage, now.changed_by) == (False, Stage.GATED_WRITES, "ann")
    assert (change.verb, change.changed_by, change.role, change.reason) == ("disable", "ann", "kill", "INC-1")
    again = await change_agent(store, now, "disable", off, by="ann", role="kill", reason="INC-1")
    assert (again.kind, again.epoch) == ("same", None)
    elsewhere = now.model_copy(update={"tenant": "initech"})
    assert (await change_agent(store, elsewhere, "disable", off, by="ann", role="kill", reason="x")).kind == "absent"


@pytest.mark.req("I3")
async def test_a_retired_key_is_not_published_again_and_an_end_only_moves_closer(store: Database) -> None:
    old, fresh = new_key(1), new_key(2)
    async with store.everywhere() as cursor:
        assert await publish_keys(cursor, key_rows((old, fresh))) == ()
        assert {key.kid for key in await published_keys(cursor)} == {old.kid, fresh.kid}
        assert await retire_credential_key(cursor, old.kid)
        assert not await retire_credential_key(cursor, old.kid)
        assert await publish_keys(cursor, key_rows((old, fresh))) == (old.kid,)
        assert [key.kid for key in await published_keys(cursor)] == [fresh.kid]
        over = rotated((fresh,), new_key(), now_s=10, lead_s=1, overlap_s=1)
        await publish_keys(cursor, key_rows(over[:1]))
        await publish_keys(cursor, key_rows((fresh,)))
        assert await published_keys(cursor) == ()
