"""The unknown queue: claiming doubts, settling them, and open runs whose end nobody has recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record
from contracts.call import EffectState
from store.database import Database

__all__ = [
    "CLOCK_SLACK_S",
    "DueDoubt",
    "EffectPlace",
    "OpenRun",
    "Settled",
    "Settlement",
    "StoredEffect",
    "claim_doubts",
    "claim_open_runs",
    "effects_in",
    "find_effect",
    "lapse_effects",
    "note_alarm",
    "note_probe",
    "settle_doubt",
]

CLOCK_SLACK_S = 60
"""How far a service's clock may differ when it judges a credential's expiry."""
MAX_LISTED = 500


@dataclass(frozen=True)
class EffectPlace:
    """Key of the ledger."""

    tenant: str
    run_id: str
    step: int
    call: int

    def __str__(self) -> str:
        return f"{self.run_id}/{self.step}/{self.call}"


class StoredEffect(Record):
    """A write as the ledger knows it."""

    run_id: str
    step: int
    call: int
    tool: str
    tool_version: int
    service: str
    natural_key: str
    state: EffectState
    attempts: int
    arguments: str
    """Canonical JSON. Content."""
    output: str | None
    """JSON. Content."""
    error: str
    amount_minor: int | None
    currency: str | None
    request_id: str | None
    """Approval under which it ran."""
    first_sent_at: datetime | None
    lease_until: datetime | None
    credential_expires_at: datetime | None
    doubted_at: datetime | None
    probes: int
    probed_at: datetime | None
    probe_said: str
    next_probe_at: datetime | None
    resolved_by: str
    created_at: datetime
    updated_at: datetime
    agent: str
    run_closed: bool
    read_at: datetime
    """Clock of the store."""

    @property
    def key(self) -> str:
        """`<run>/<step>/<call>`: also the idempotency key at the service."""
        return f"{self.run_id}/{self.step}/{self.call}"

    @property
    def in_doubt_since(self) -> datetime:
        """What its age is counted from."""
        return self.doubted_at or self.updated_at


_EFFECTS: LiteralString = """
select e.run_id, e.step, e.call, e.tool, e.tool_version, e.service, e.natural_key, e.state, e.attempts, e.arguments,
    e.output, e.error, e.amount_minor, e.currency, e.request_id, e.first_sent_at, e.lease_until,
    e.credential_expires_at,
    e.doubted_at, e.probes, e.probed_at, e.probe_said, e.next_probe_at, e.resolved_by, e.created_at, e.updated_at,
    r.agent, r.closed_at is not null as run_closed, now() as read_at
from effects e join runs r using (tenant, run_id)
where e.tenant = %(tenant)s and e.state = any(%(states)s) and (%(run)s::text is null or e.run_id = %(run)s)
    and (%(step)s::int is null or (e.step, e.call) = (%(step)s, %(call)s))
order by coalesce(e.doubted_at, e.updated_at), e.run_id, e.step, e.call limit %(limit)s"""


async def effects_in(
    cursor: AsyncCursor[DictRow],
    tenant: str,
    states: Sequence[EffectState],
    *,
    run_id: str | None = None,
    limit: int = MAX_LISTED,
) -> tuple[StoredEffect, ...]:
    """Writes in these states, longest there first."""
    return await _effects(cursor, tenant, states, run_id=run_id, limit=limit)


async def find_effect(cursor: AsyncCursor[DictRow], place: EffectPlace) -> StoredEffect | None:
    """One write."""
    found = await _effects(cursor, place.tenant, tuple(EffectState), run_id=place.run_id, place=place, limit=1)
    return found[0] if found else None


async def _effects(
    cursor: AsyncCursor[DictRow],
    tenant: str,
    states: Sequence[EffectState],
    *,
    run_id: str | None,
    place: EffectPlace | None = None,
    limit: int,
) -> tuple[StoredEffect, ...]:
    values = {
        "tenant": tenant,
        "states": [state.value for state in states],
        "run": run_id,
        "step": place.step if place else None,
        "call": place.call if place else None,
        "limit": limit,
    }
    await cursor.execute(_EFFECTS, values)
    return tuple(StoredEffect.model_validate(row) for row in await cursor.fetchall())


class DueDoubt(Record):
    """A doubt that is this process's to look at, for a while."""

    run_id: str
    step: int
    call: int
    tool: str
    tool_version: int
    service: str
    arguments: str
    fence: int
    probes: int
    """How often it was asked after, this time included."""
    credential_s: int | None
    """Until when an attempt's credential is good, Unix seconds."""
    doubted_s: int | None
    now_s: int
    agent: str
    on_behalf_of: str | None
    closed: bool
    """Whether the run is over: then nobody else asks."""


async def claim_doubts(db: Database, tenant: str, *, limit: int, lease_s: float) -> tuple[DueDoubt, ...]:
    """Take doubts that are due; no other process takes them for `lease_s`."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute("select doubt from claim_doubts(%s, %s, %s)", (tenant, limit, lease_s))
        return tuple(DueDoubt.model_validate(row["doubt"]) for row in await cursor.fetchall())


async def note_probe(db: Database, place: EffectPlace, fence: int, said: str, *, again_s: float) -> None:
    """Keep what the service said of a write that stays in doubt."""
    await db.call(
        "select note_probe(%s, %s, %s, %s, %s, %s, %s)",
        (place.tenant, place.run_id, place.step, place.call, fence, said, again_s),
    )


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """What is known of a doubt from now on, and who says so."""

    state: Literal[EffectState.SUCCEEDED, EffectState.FAILED_FINAL, EffectState.ABANDONED]
    output: str | None
    """JSON text."""
    error: str
    by: str
    """The person, or `probe`."""
    said_twice: bool
    """Of `failed_final`: that it did not happen holds although an attempt's credential is still good."""
    audit: str
    """JSON object; visit and tool are added."""
    fence: int | None = None
    """Of the row that was looked at; None: whatever it is."""


class Settled(Record):
    """What became of it."""

    kind: Literal["settled", "absent", "known", "credential"]
    """`known`: it is not in doubt (any more); `credential`: what was sent may still arrive."""
    state: str | None
    """The row's state now."""
    credential_s: int | None
    """Until when an attempt's credential is good, Unix seconds."""
    closed: bool | None
    """Whether the run is over."""
    tool: str | None


_SETTLE: LiteralString = "select * from settle_doubt(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"


async def settle_doubt(cursor: AsyncCursor[DictRow], place: EffectPlace, found: Settlement) -> Settled:
    """Close a doubt, in the cursor's transaction."""
    await cursor.execute(
        _SETTLE,
        (place.tenant, place.run_id, place.step, place.call, found.fence, found.state.value, found.output, found.error,
         found.by, CLOCK_SLACK_S, found.said_twice, found.audit),
    )  # fmt: skip
    return Settled.model_validate(await cursor.fetchone())


async def lapse_effects(db: Database, tenant: str, *, limit: int, after_s: float) -> int:
    """Put in doubt what was under way under a lease that ended long ago. How many."""
    row = await db.call("select lapse_effects(%s, %s, %s) as n", (tenant, limit, after_s))
    return int(row["n"])


class OpenRun(Record):
    """A run that the store holds for open."""

    run_id: str
    definition: str
    opened_s: int
    """Unix seconds."""


async def claim_open_runs(db: Database, tenant: str, *, limit: int, every_s: float) -> tuple[OpenRun, ...]:
    """Take open runs that nobody has looked at for `every_s`."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute("select * from claim_open_runs(%s, %s, %s)", (tenant, limit, every_s))
        return tuple(OpenRun.model_validate(row) for row in await cursor.fetchall())


async def note_alarm(db: Database, tenant: str, kind: str, subject: str, detail: str) -> bool:
    """Raise an alarm, once for each kind and subject. False: it was raised before."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute(
            """insert into alarms (tenant, kind, subject, detail)
               select %(tenant)s::text, %(kind)s::text, %(subject)s::text,
                   jsonb_build_object('detail', %(detail)s::text)
               where not exists (select 1 from alarms
                   where tenant = %(tenant)s and kind = %(kind)s and subject = %(subject)s)""",
            {"tenant": tenant, "kind": kind, "subject": subject, "detail": detail},
        )
        return cursor.rowcount == 1
