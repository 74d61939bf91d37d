"""Transitions of the effects ledger between admission and finish, and the queue of what cannot be known."""

from dataclasses import dataclass
from typing import Literal, LiteralString, cast

from contracts.base import JsonObject
from contracts.call import EffectState
from store.database import Database
from store.journal import CallKey

__all__ = [
    "Resolution",
    "Start",
    "doubt_effect",
    "list_effects",
    "renew_lease",
    "resolve_effect",
    "start_effect",
]


@dataclass(frozen=True)
class Start:
    """What the last look before sending found."""

    kind: Literal["started", "halted", "lost"]
    detail: str
    """The kill switch that holds."""
    not_after_s: int
    """Of `started`: no credential of the attempt may be valid after this. Unix seconds."""
    epoch: int = 0
    """Of `started`: revocation epoch of its credentials."""


async def start_effect(
    db: Database, key: CallKey, fence: int, *, agent: str, tool: str, lease_s: float, credential_s: float
) -> Start:
    """From prepared to in_flight, under a lease, if no kill switch came on since admission."""
    row = await db.call(
        "select * from start_effect(%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (key.tenant, key.run_id, key.step, key.call, fence, agent, tool, lease_s, credential_s),
    )
    return Start(
        kind=row["kind"], detail=row["detail"] or "", not_after_s=row["not_after_s"] or 0, epoch=row["epoch"] or 0
    )


async def renew_lease(db: Database, key: CallKey, fence: int, *, lease_s: float, credential_s: float) -> int | None:
    """Hold on to an effect in flight. When its credentials must end (Unix seconds); None: somebody else has it now."""
    row = await db.call(
        "select * from renew_lease(%s, %s, %s, %s, %s, %s, %s)",
        (key.tenant, key.run_id, key.step, key.call, fence, lease_s, credential_s),
    )
    return row["not_after_s"] if row["held"] else None


async def doubt_effect(db: Database, key: CallKey, audit: str) -> bool:
    """To unknown: in flight with a lapsed lease, or prepared to be sent again. False: somebody holds it."""
    row = await db.call(
        "select * from doubt_effect(%s, %s, %s, %s, %s)", (key.tenant, key.run_id, key.step, key.call, audit)
    )
    return row["kind"] == "doubted"


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What a probe or a person found out about an effect in doubt."""

    tool: str
    effect_fence: int
    state: EffectState
    """`succeeded`, `failed_final`, or still `unknown`."""
    output: str | None
    """JSON text."""
    error: str
    control: str
    """Control part of the visit's result, as JSON text."""
    message: tuple[str, int] | None
    """What the model is told (JSON text, estimated tokens), when that settles the call."""
    audit: str


async def resolve_effect(db: Database, key: CallKey, found: Resolution) -> bool:
    """From unknown to what was found. False: somebody else resolved it."""
    text, size = found.message or (None, None)
    row = await db.call(
        "select * from resolve_effect(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (key.tenant, key.run_id, key.step, key.call, key.visit, found.tool, found.effect_fence, found.state.value,
         found.output, found.error, found.control, text, size, found.audit),
    )  # fmt: skip
    return row["kind"] == "resolved"


_OF_RUN: LiteralString = """
select run_id, step, call, tool, natural_key, state, attempts, arguments, output, error, amount_minor, currency,
    request_id, created_at, updated_at
from effects where tenant = %s and run_id = %s order by step, call"""


async def list_effects(db: Database, tenant: str, run_id: str) -> list[JsonObject]:
    """Every write of a run with its state, in order."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute(_OF_RUN, (tenant, run_id))
        return cast("list[JsonObject]", await cursor.fetchall())
