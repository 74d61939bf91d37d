"""The base policy as a table: every cell's decision is worked out by reading the rules, not the policy."""

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest

from activities.bundles import BASE_POLICY
from contracts.agent import Stage
from contracts.decision import AuthorizationRequest, NeedsApproval
from contracts.tool import Tier
from policy.bundle import Bundle, BundleError, build_bundle
from policy.decide import decide
from policy.schema import cedar_schema
from tests.policy.desk import AGENT, LADDER, READ, declared, request_for
from tests.policy.mutants import Mutant, mutants

pytestmark = pytest.mark.req("P1", "P3", "P4", "P5", "I1", "I2", "R1")
WRITES = {tier: declared(f"desk.write{tier.value}", tier=tier) for tier in Tier if tier is not Tier.READ_ONLY}
SCHEMA = cedar_schema([READ, *WRITES.values()])
# The agent permits itself, and users of a group, whatever is above the tiers that the base policy permits: what is
# denied, the base denied.
OWN = """
@id("desk-own") @reason("The desk may use all its tools.")
permit (principal is Agent, action, resource) when { principal.name == "desk" && context.tier >= 2 };

@id("desk-users") @reason("People of the desk may have everything done.")
permit (principal is User, action, resource) when { context.tier >= 2 && principal.groups.contains("desk") };
"""
USERS: Mapping[str, Mapping[str, object] | None] = {
    "alone": None,
    "for one who may": {"groups": ["desk"]},
    "for one who may not": {"groups": ["others"]},
    "for one disabled": {"groups": ["desk"], "enabled": False},
    "for a stranger": {"groups": ["desk"], "tenant": "globex"},
}
"""On whose behalf the agent acts."""


@dataclass(frozen=True)
class Cell:
    """One call on one day."""

    write: bool
    tier: int
    """Of the call: a read can have one too, by what it reads."""
    stage: Stage = Stage.LIMITED_AUTONOMY
    held: int = 0
    """Persons of finance whose approval is held."""
    repeated: bool = False
    missing: bool = False
    ceiling: int = 4
    enabled: bool = True
    halted: bool = False
    at_home: bool = True
    """Whether the agent is one of the tenant."""
    outgoing: str = "none"
    """What the output rules want."""
    own_place: bool = True
    """Whether what it acts on is the tenant's."""
    own_run: bool = True
    """Whether the run is the tenant's."""
    expired: bool = False
    after: bool = False
    """Whether something was done after which this is forbidden."""
    tainted: bool = False
    """Whether an argument may come from untrusted content."""
    named: bool = True
    """Whether any policy permits this agent what is above the base policy's tiers."""
    identity: str = "alone"
    glass: str = ""
    """What an open emergency lifts."""


def expected(cell: Cell) -> str:
    """The decision, as DESIGN and the tiers' table say it: `allow`, `deny`, or the rung to ask."""
    if cell.halted or not cell.enabled or not cell.at_home or not cell.own_place:
        return "deny"
    if not cell.own_run or cell.expired or cell.after:
        return "deny"
    if cell.identity in {"for one disabled", "for a stranger"}:
        return "deny"
    if cell.identity == "for one who may not" and cell.tier >= 2:
        return "deny"
    if cell.missing or (cell.tier > cell.ceiling and cell.glass != "tier-ceiling") or cell.stage is Stage.OFF:
        return "deny"
    if not permitted(cell) or cell.outgoing == "block":
        return "deny"
    drafts = cell.tier <= 1
    stage = Stage.LIMITED_AUTONOMY if cell.glass == "stage" else cell.stage
    if cell.write and stage in {Stage.SHADOW, Stage.READ_ONLY}:
        return "deny"
    if cell.write and stage is Stage.DRAFTS and not drafts:
        return "deny"
    persons = {3: 0 if cell.glass == "approval" else 1, 4: 2}.get(cell.tier, 0)
    if cell.write and (cell.repeated or (stage is Stage.GATED_WRITES and not drafts)):
        persons = max(persons, 1)
    if cell.outgoing == "ask" or (cell.write and cell.tainted and not drafts):
        persons = max(persons, 1)
    if cell.held >= persons:
        return "allow"
    return {1: "one-lead", 2: "two-finance"}[persons]


def permitted(cell: Cell) -> bool:
    """Tier 0 is for reads, tier 1 for writes; above it the agent's own policy permits, if it names the agent."""
    return cell.named if cell.tier >= 2 else cell.write == (cell.tier == 1)


CALLS = [(write, tier) for write in (False, True) for tier in range(5) if not (write and tier == 0)]


def cells() -> list[Cell]:
    """Every combination of what a decision weighs; and each wall, up against everything that could lift it."""
    weighed = [
        Cell(write, tier, stage, held, repeated, missing, ceiling)
        for (write, tier), stage, held, repeated, missing, ceiling in itertools.product(
            CALLS, Stage, (0, 1, 2), (False, True), (False, True), (1, 3, 4)
        )
    ]
    whom = [
        Cell(write, tier, stage, held, identity=identity, halted=halted)
        for (write, tier), stage, held, identity, halted in itertools.product(
            CALLS, Stage, (0, 1, 2), USERS, (False, True)
        )
    ]
    best = [Cell(write, tier, held=held) for (write, tier), held in itertools.product(CALLS, (0, 1, 2))]
    walls: list[dict[str, Any]] = [
        {"enabled": False}, {"halted": True}, {"at_home": False}, {"own_place": False}, {"own_run": False},
        {"expired": True}, {"after": True}, {"tainted": True}, {"named": False},
    ]  # fmt: skip
    low = [replace(cell, ceiling=ceiling) for cell in best for ceiling in range(4)]
    pairs = [one | other for one, other in itertools.combinations(walls, 2)]
    sent = [replace(cell, outgoing=action) for cell in best for action in ("ask", "block")]
    broken = [
        *(replace(cell, glass="stage", stage=stage) for cell in best for stage in Stage),
        *(replace(cell, glass="tier-ceiling", ceiling=1) for cell in best),
        *(replace(cell, glass="approval") for cell in best),
        *(
            replace(cell, glass=glass, **wall)
            for cell in best
            for glass in ("stage", "tier-ceiling", "approval")
            for wall in walls
            if cell.held == 2
        ),
    ]
    walled = [replace(cell, **wall) for wall in walls for cell in best]
    both = [replace(cell, **wall) for wall in pairs for cell in best]
    # What is rare comes first: a mistake is noticed sooner.
    random.Random(7).shuffle(common := [*weighed, *whom, *both])
    random.Random(8).shuffle(rare := [*walled, *low, *sent, *broken])
    return [*rare, *common]


CELLS = cells()
USUAL = 2_400
"""Every wall by itself, and every third combination: what is decided by default, all cells under `long`."""


@cache
def asked(cell: Cell) -> AuthorizationRequest:
    action = f"desk.write{cell.tier}" if cell.write else READ.name
    return request_for(
        action,
        principal=AGENT if cell.named else "clerk",
        home="acme" if cell.at_home else "globex",
        place="acme" if cell.own_place else "globex",
        context={
            "tier": cell.tier,
            "stage": cell.stage.value,
            "repeated": cell.repeated,
            "missing_steps": ["desk.read"] if cell.missing else [],
            "halted": cell.halted,
            "outgoing_action": cell.outgoing,
            "break_glass": [cell.glass] if cell.glass else [],
            "forbidden_after": ["desk.read"] if cell.after else [],
            "tainted_arguments": ["key"] if cell.tainted else [],
            "run_age_s": 3_601 if cell.expired else 3_600,
        },
        attributes={"tier_ceiling": cell.ceiling, "enabled": cell.enabled},
        user=USERS[cell.identity],
        run_tenant="acme" if cell.own_run else "globex",
    )


def decided(bundle: Bundle, cell: Cell) -> str:
    granted = {0: (), 1: ("one-finance",), 2: ("one-finance", "two-finance")}[cell.held]
    decision = decide(bundle, asked(cell), granted=granted, approvers=cell.held).decision
    return decision.requirement.id if isinstance(decision, NeedsApproval) else decision.kind


def bundle_with(base: str) -> Bundle:
    return build_bundle({"base": base, "own": OWN}, SCHEMA, LADDER)


def mixed() -> list[Cell]:
    """All cells; of each kind one, then of each kind a second one, and so on: a mistake is noticed sooner."""
    kinds: dict[tuple[object, ...], list[Cell]] = {}
    for cell in CELLS:
        kinds.setdefault((cell.write, cell.tier, cell.stage, cell.held, expected(cell)), []).append(cell)
    return [cell for row in itertools.zip_longest(*kinds.values()) for cell in row if cell is not None]


MIXED = mixed()
GOOD = bundle_with(BASE_POLICY.read_text("utf-8"))


def noticed(mutant: Mutant, telling: list[Cell]) -> bool:
    """Whether the file is refused, or some cell is decided otherwise than it should be.

    Args:
        mutant: the file with its mistake.
        telling: cells that told other mutants, the latest first: they are tried first, and the list grows.
    """
    try:
        bundle = bundle_with(mutant.text)
    except BundleError:
        return True
    found = next((cell for cell in (*telling, *MIXED) if decided(bundle, cell) != expected(cell)), None)
    if found is None:
        return False
    if found in telling:
        telling.remove(found)
    telling.insert(0, found)
    return True


def wrongly_decided(some: list[Cell]) -> list[tuple[Cell, str]]:
    assert {expected(cell) for cell in some} == {"allow", "deny", "one-lead", "two-finance"}
    return [(cell, found) for cell in some if (found := decided(GOOD, cell)) != expected(cell)]


def test_every_wall_and_a_third_of_all_cells_are_decided_as_the_rules_say() -> None:
    assert wrongly_decided(CELLS[:USUAL]) == []


@pytest.mark.long
def test_every_cell_is_decided_as_the_rules_say() -> None:
    assert len(CELLS) > 4_000
    assert wrongly_decided(CELLS) == []


def unnoticed(some: list[Mutant]) -> list[str]:
    telling: list[Cell] = []
    return [mutant.what for mutant in some if not noticed(mutant, telling)]


def test_a_policy_that_is_gone_and_a_third_of_the_small_mistakes_are_noticed() -> None:
    made = list(mutants(BASE_POLICY.read_text("utf-8")))
    gone = [mutant for mutant in made if ": " not in mutant.what]
    assert len(gone) > 10
    assert unnoticed([*gone, *(mutant for mutant in made[::3] if mutant not in gone)]) == []


@pytest.mark.long
@pytest.mark.timeout(600)  # a busy machine: 15 s on a quiet one
def test_each_small_mistake_in_the_base_policy_is_noticed() -> None:
    made = list(mutants(BASE_POLICY.read_text("utf-8")))
    assert len(made) > 80
    assert unnoticed(made) == []
