"""Runs, calls and a service for tests of the ledger: the store's own statements, and what must hold after each."""

import dataclasses
import hashlib
import itertools
import json
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from contracts.base import JsonObject
from contracts.canonical import opaque_id
from store.database import Database
from store.journal import Admission, AdmissionRequest, CallKey, LoadedCall, admit_call, load_call
from store.model_calls import ModelBounds

__all__ = [
    "AGENT",
    "AMOUNT_MINOR",
    "AMPLE",
    "BOUNDS",
    "CALLS_MAX",
    "MEASURES",
    "TENANT",
    "WALL_S",
    "Provider",
    "World",
    "day_limits",
    "new_run",
]

TENANT, AGENT = "acme", "worker_bee"
AMOUNT_MINOR = 700
CALLS_MAX = 6
RETRIES_MAX = 1_000
WALL_S = 30
MEASURES = ("tokens", "micros", "model_calls", "tool_calls", "retries", "wall_s")
AMPLE: Mapping[str, int] = MappingProxyType(dict.fromkeys(MEASURES, 10_000_000))


def day_limits(caps: Mapping[str, int] = AMPLE, money_max: int = 1_000_000) -> str:
    """What the store's statements take of a day: these caps for the agent, ample ones for the tenant."""
    return json.dumps(
        {
            "zone": "UTC", "run": [700, 2_000, 8, CALLS_MAX, RETRIES_MAX, 900],
            "agent": [caps[measure] for measure in MEASURES], "tenant": list(AMPLE.values()), "by_day": True,
            "per_day": 0, "per_minute": 0, "money": {"agent": {"EUR": money_max}, "tenant": {}, "tool": {}},
        }
    )  # fmt: skip


BOUNDS = ModelBounds(
    overhead_tokens=10, output_tokens=90, input_price=1_000_000, output_price=2_000_000,
    limit_steps=8, limit_tokens=700, limit_micros=2_000, limit_retries=RETRIES_MAX, limit_context=10_000,
    agent=AGENT, wall_s=WALL_S, limits=day_limits(),
)  # fmt: skip
Row = dict[str, Any]

_CHECKS = """
select s.run_id, s.closed, s.tokens_used, s.tokens_reserved, s.micros_used, s.micros_reserved, s.tool_calls,
    coalesce((s.money_minor ->> 'EUR')::bigint, 0) as money,
    (select coalesce(sum(j.tokens_reserved), 0) from journal j where j.run_id = s.run_id) as journal_tokens,
    (select coalesce(sum(j.micros_reserved), 0) from journal j where j.run_id = s.run_id) as journal_micros,
    (select coalesce(sum(e.amount_minor), 0) from effects e where e.run_id = s.run_id and e.state <> 'failed_final')
        as ledger_money,
    (select coalesce(json_agg(json_build_array(e.step, e.call, e.state, e.fence, e.attempts)), '[]'::json)
        from effects e where e.run_id = s.run_id) as effects,
    (select coalesce(json_agg(json_build_array(j.step, j.call, j.visit, j.state, j.fence)), '[]'::json)
        from journal j where j.run_id = s.run_id) as journal
from run_state s where s.run_id = any(%s)"""

_DAY = """
select c.tokens, c.micros, c.model_calls, c.tool_calls, c.retries, c.wall_s, x.*,
    coalesce((c.money ->> 'EUR')::bigint, 0) as money,
    (select coalesce(sum(e.amount_minor), 0) from effects e
        where e.run_id = any(%(runs)s) and e.state <> 'failed_final') as money_of_runs
from counters c, (
    select sum(s.tokens_used + s.tokens_reserved + s.left_tokens) as tokens_of_runs,
        sum(s.micros_used + s.micros_reserved + s.left_micros) as micros_of_runs,
        sum(s.tool_calls + s.left_tool_calls) as tool_calls_of_runs, sum(s.retries + s.left_retries) as retries_of_runs,
        sum(s.left_tokens + s.left_micros + s.left_model_calls + s.left_tool_calls + s.left_retries + s.left_wall_s
            + s.tokens_reserved) as held
    from run_state s where s.run_id = any(%(runs)s)) x
where c.scope = 'agent' and c.subject = %(agent)s"""

_INTENTS = """
select e.run_id || '/' || e.step || '/' || e.call as key, e.state, e.attempts,
    exists (select 1 from journal j join audit a
            on a.tenant = j.tenant and a.run_id = j.run_id and a.seq = j.decision_seq and a.kind = 'decided'
        where j.tenant = e.tenant and j.run_id = e.run_id and j.step = e.step and j.call = e.call) as decided
from effects e where e.run_id = any(%s)"""

LEGAL = {
    ("prepared", "in_flight"), ("prepared", "unknown"), ("prepared", "failed_final"),
    ("in_flight", "succeeded"), ("in_flight", "failed_final"), ("in_flight", "unknown"),
    ("unknown", "prepared"), ("unknown", "succeeded"), ("unknown", "failed_final"), ("unknown", "abandoned"),
    # One statement after another, seen together after a burst:
    ("prepared", "succeeded"), ("unknown", "in_flight"),
}  # fmt: skip


@dataclass
class Provider:
    """The service that writes go to. Keys are honoured; what it did is what happened."""

    done: Counter[str] = field(default_factory=Counter[str])
    """How often each effect key took effect."""
    deeds: Counter[str] = field(default_factory=Counter[str])
    refused: set[str] = field(default_factory=set[str])

    def execute(self, effect_key: str, deed: str) -> bool:
        """Do it once for each key. False: this key was refused before, and stays so."""
        if effect_key in self.refused:
            return False
        if not self.done[effect_key]:
            self.done[effect_key] += 1
            self.deeds[deed] += 1
        return True

    def refuse(self, effect_key: str) -> bool:
        """Refuse it for good. False: it has been done."""
        if not self.done[effect_key]:
            self.refused.add(effect_key)
        return effect_key in self.refused


@dataclass
class World:
    """A few runs over one store, with what was seen of them before."""

    db: Database
    owner: AsyncConnectionPool[Any]
    runs: list[str]
    provider: Provider = field(default_factory=Provider)
    agent: str = AGENT
    """Whose day's budget the runs draw on; of this world alone, when its counters are to be checked."""
    caps: Mapping[str, int] = field(default_factory=lambda: AMPLE)
    money_max: int = 1_000_000
    limits: str = ""
    """Of tool calls, in the place of the caps above."""
    limited: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    """Model calls, by run and step, that met a limit at least once."""
    _seen: dict[tuple[Any, ...], tuple[str, int]] = field(default_factory=dict[tuple[Any, ...], tuple[str, int]])

    @property
    def bounds(self) -> ModelBounds:
        """What a model call takes here."""
        return dataclasses.replace(BOUNDS, agent=self.agent, limits=day_limits(self.caps, self.money_max))

    async def check_day(self, *, closed: bool = False) -> None:
        """The day's counters hold exactly what the runs used, reserved and hold, and never more than the caps."""
        async with self.owner.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            rows = await (await cursor.execute(_DAY, {"agent": self.agent, "runs": self.runs})).fetchall()
        for row in rows:
            for measure in MEASURES:
                assert 0 <= row[measure] <= self.caps[measure], (measure, row)
            for measure in ("tokens", "micros", "tool_calls", "retries"):
                assert row[measure] == row[f"{measure}_of_runs"], (measure, row)
            assert row["money"] == row["money_of_runs"] <= self.money_max, row
            assert not closed or row["held"] == 0, row
        assert len(rows) <= 1

    async def close(self) -> None:
        """End every run."""
        for run_id in self.runs:
            await self.db.call("select * from close_run(%s, %s, 'escalated', 'done', '', '{}', '{}')", (TENANT, run_id))

    async def check(self, *, burst: bool = False) -> None:
        """Whatever just happened, and whoever died of it, these hold."""
        async with self.owner.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            states = await (await cursor.execute(_CHECKS, (self.runs,))).fetchall()
        for state in states:
            assert 0 <= state["tokens_used"] <= BOUNDS.limit_tokens, state
            assert state["tokens_used"] + state["tokens_reserved"] <= BOUNDS.limit_tokens, state
            assert state["micros_used"] + state["micros_reserved"] <= BOUNDS.limit_micros, state
            assert (state["tokens_reserved"], state["micros_reserved"]) == (
                state["journal_tokens"], state["journal_micros"],
            ), state  # fmt: skip
            assert state["tool_calls"] <= CALLS_MAX, state
            assert state["money"] == state["ledger_money"], state
            for step, call, now, fence, _ in state["effects"]:
                self._moves((state["run_id"], "effect", step, call), now, fence, burst=burst)
            for step, call, visit, now, fence in state["journal"]:
                before = self._seen.get((state["run_id"], "journal", step, call, visit))
                assert before is None or (fence >= before[1] and (before[0] != "done" or now == "done"))
                self._seen[state["run_id"], "journal", step, call, visit] = (now, fence)
        assert all(times <= 1 for times in self.provider.deeds.values()), self.provider.deeds
        assert all(times <= 1 for times in self.provider.done.values()), self.provider.done
        await self._check_intents()

    async def _check_intents(self) -> None:
        """What the service did was decided and written down before, and nobody says of it that it did not happen."""
        async with self.owner.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            rows = await (await cursor.execute(_INTENTS, (self.runs,))).fetchall()
        intents = {row["key"]: row for row in rows}
        for key, times in list(self.provider.done.items()):
            if times:
                assert intents[key]["attempts"] > 0, key
                assert intents[key]["decided"], key
                assert intents[key]["state"] != "failed_final", intents[key]

    def _moves(self, place: tuple[Any, ...], now: str, fence: int, *, burst: bool) -> None:
        before, old_fence = self._seen.get(place, (now, fence))
        assert fence >= old_fence, (place, "the fence went back")
        assert before == now or burst or (before, now) in LEGAL, (place, before, now)
        assert before not in {"succeeded", "failed_final", "abandoned"} or before == now, (place, before, now)
        self._seen[place] = (now, fence)

    async def check_chains(self) -> None:
        """Every audit entry follows from the one before."""
        for run_id in self.runs:
            head = hashlib.sha256(f"{TENANT}/{run_id}".encode()).digest()
            for number, entry in enumerate(await self.rows("audit", run_id, "seq"), 1):
                head = hashlib.sha256(head + entry["body"].encode()).digest()
                assert (entry["seq"], entry["hash"]) == (number, head)
            (state,) = await self.rows("run_state", run_id, "run_id")
            assert state["audit_head"] == head

    async def rows(self, table: str, run_id: str, order: str = "step, call") -> list[Row]:
        """A run's rows, as the owner sees them."""
        async with self.owner.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            statement = f"select * from {table} where run_id = %s order by {order}"  # noqa: S608 - names of this file
            return await (await cursor.execute(statement.encode(), (run_id,))).fetchall()

    async def lapse(self) -> None:
        """Let the time of every lease run out."""
        async with self.owner.connection() as connection:
            await connection.execute(
                """update effects set lease_until = now() - interval '1 second'
                   where state = 'in_flight' and run_id = any(%s)""",
                (self.runs,),
            )

    async def load(self, key: CallKey, tool: str, *, zone: str | None = None) -> LoadedCall:
        """A call with its surroundings; with what policy sees of the day, where a zone is given."""
        loaded = await load_call(self.db, key, agent=self.agent, tool=tool, values_after=0, zone=zone)
        assert loaded is not None
        return loaded

    async def admit(  # noqa: PLR0913 - everything that a decision is made on
        self, key: CallKey, tool: str, loaded: LoadedCall, *, deed: str = "", repeated: bool = False,
        verdict: Literal["read", "write", "record"] = "write", resend: bool = False, told: str = "",
        standing: JsonObject | None = None,
    ) -> Admission:  # fmt: skip
        """Carry out a decision that was made on what was loaded."""
        effect = {
            "tool_version": 1, "service": "books", "arguments_digest": f"sha256:{deed}", "arguments": "{}",
            "natural_key": deed, "amount_minor": AMOUNT_MINOR, "currency": "EUR", "request_id": None, "resend": resend,
        }  # fmt: skip
        return await admit_call(
            self.db,
            key,
            AdmissionRequest(
                agent=self.agent,
                tool=tool,
                version=loaded.run.version,
                agent_version=loaded.agent.version if loaded.agent else 0,
                repeated=repeated,
                verdict=verdict,
                control=told or "{}",
                message=('{"role":"tool"}', 1) if told else None,
                audit=json.dumps({"decided": [key.step, key.call, key.visit]}),
                limit_tool_calls=CALLS_MAX,
                limit_retries=RETRIES_MAX,
                wall_s=WALL_S,
                limits=self.limits or day_limits(self.caps, self.money_max),
                decided_on=loaded.today,
                rated=bool(self.limits) or self.agent != AGENT,
                effect=dict(effect) if verdict == "write" else None,
                standing=standing,
            ),
        )


_numbers = itertools.count()


async def new_run(db: Database, agent: str = AGENT) -> str:
    """Open a run of an agent that is on."""
    run_id = opaque_id("run", uuid.uuid4().hex, next(_numbers))
    async with db.tenant(TENANT) as cursor:
        await cursor.execute(
            """insert into agent_states (tenant, agent, enabled, stage, tier_ceiling, changed_by)
               values (%s, %s, true, 'limited_autonomy', 3, 'test') on conflict do nothing""",
            (TENANT, agent),
        )
    await db.call(
        """select * from open_run(%s, %s, %s, 1, 'sha256:0', '{}', null, null, null, %s, null, '[]'::jsonb, '[]'::jsonb,
               'a goal', array['{"role":"system"}', '{"role":"user"}'], array[5, 5], '{"opened":1}')""",
        (TENANT, run_id, agent, run_id),
    )
    return run_id
