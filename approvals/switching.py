"""Throwing and releasing kill switches for a signed-in operator: by page, API and command line alike."""

import logging
import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from contracts.base import Record
from settings.tenants import TenantsFile
from store.database import Database
from store.switches import (
    EVERYBODY,
    Receipt,
    SwitchRow,
    SwitchScope,
    Thrown,
    find_switch,
    list_switches,
    receipts_of,
    release_switch,
    throw_switch,
)

__all__ = ["Refused", "Released", "SwitchShown", "ThrowSwitch", "release", "show", "throw"]

MIN_REASON_CHARACTERS = 3
_LOG = logging.getLogger("approvals")
_TARGETS = {
    "agent": re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII),
    "tool": re.compile(r"[a-z][a-z0-9_]{0,30}\.[a-z][a-z0-9_]{0,40}", re.ASCII),
    "run": re.compile(r"run-[a-z2-7]{26}", re.ASCII),
}


class ThrowSwitch(Record):
    """A switch as asked for."""

    scope: SwitchScope
    """`global`: every tenant; `tenant`: the operator's own."""
    target: str = Field(default="", max_length=100)
    """Agent, tool or run; empty for a tenant or all."""
    reason: Annotated[str, StringConstraints(max_length=2_000, strip_whitespace=True, pattern=r"^[^\x00]*$")]
    """Why; it is recorded and shown."""


class Refused(Record):
    """Nothing was done."""

    kind: Literal["refused"] = "refused"
    why: str


class Released(Record):
    """The switch is off. Runs that it halted are resumed as soon as nothing else holds them."""

    kind: Literal["released"] = "released"
    switch: SwitchRow


class SwitchShown(Record):
    """A switch with its receipts in one tenant."""

    switch: SwitchRow
    receipts: tuple[Receipt, ...]
    """What was under way when it fell, unsettled first."""

    @property
    def unsettled(self) -> int:
        """Receipts of which it is not known what became of them."""
        return sum(not receipt.settled for receipt in self.receipts)


async def throw(
    database: Database, tenants: TenantsFile, *, tenant: str, by: str, asked: ThrowSwitch
) -> Thrown | Refused:
    """Throw a switch. The caller has seen to the role."""
    refusal = _refusal(tenants, tenant, asked)
    if refusal:
        return Refused(why=refusal)
    is_global = asked.scope == "global"
    where: Sequence[str] = sorted(tenants.tenants) if is_global else (tenant,)
    thrown = await throw_switch(
        database,
        tenant=EVERYBODY if is_global else tenant,
        scope="tenant" if is_global else asked.scope,
        target=asked.target or EVERYBODY,
        reason=asked.reason,
        by=by,
        tenants=where,
    )
    _LOG.info("kill switch %d: %s %s of %s by %s", thrown.switch_id, asked.scope, asked.target, tenant, by)
    return thrown


async def release(
    database: Database, tenants: TenantsFile, *, tenant: str, by: str, switch_id: int, reason: str
) -> Released | Refused:
    """Release a switch that holds for the tenant; one of all tenants only by the installation's operators."""
    if len(reason.strip()) < MIN_REASON_CHARACTERS:
        return Refused(why="Say why it is safe to go on, in at least three characters.")
    async with database.tenant(tenant) as cursor:
        found = await find_switch(cursor, tenant, switch_id)
    if found is None:
        return Refused(why=f"There is no switch {switch_id}.")
    if found.released_at is not None:
        return Refused(why=f"Switch {switch_id} was released by {found.released_by} already.")
    if found.tenant == EVERYBODY and tenants.operator_tenant != tenant:
        return Refused(why="It holds for every tenant: only the installation's operators release it.")
    async with database.tenant(found.tenant) as cursor:
        released = await release_switch(cursor, tenant=found.tenant, switch_id=switch_id, by=by, reason=reason.strip())
    if released is None:
        return Refused(why=f"Switch {switch_id} was released by somebody else just now.")
    _LOG.info("kill switch %d released by %s of %s", switch_id, by, tenant)
    return Released(switch=released)


async def show(database: Database, tenant: str, *, released: bool = False) -> tuple[SwitchShown, ...]:
    """The switches that hold for a tenant (or held), with their receipts."""
    async with database.tenant(tenant) as cursor:
        switches = await list_switches(cursor, tenant, released=released, limit=20 if released else 100)
        return tuple([
            SwitchShown(switch=switch, receipts=await receipts_of(cursor, tenant, switch.switch_id))
            for switch in switches
        ])  # fmt: skip


def _refusal(tenants: TenantsFile, tenant: str, asked: ThrowSwitch) -> str:
    if len(asked.reason) < MIN_REASON_CHARACTERS:
        return "Say why, in at least three characters."
    if asked.scope == "global" and tenants.operator_tenant != tenant:
        return "Only the installation's operators stop every tenant. Stop your own: scope tenant."
    if asked.scope in ("global", "tenant"):
        return "" if not asked.target else f"Scope {asked.scope} has no target."
    if not _TARGETS[asked.scope].fullmatch(asked.target):
        return f"{asked.target or 'nothing'} is no {asked.scope}. Give its exact name."
    return ""
