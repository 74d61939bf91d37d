"""What a decision costs: one evaluation, the whole ladder, and a decision for two principals; beside a bare call.

The bare call is cedarpy with policies, entities and schema parsed before, and the same request. Each figure is the
middle of many; a request is new each time, as at the gate.
"""

import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import cast

import cedarpy

from activities.bundles import Bundles, load_ladder, policy_files
from activities.policy_cases import NO_MODEL, case_request, read_cases
from activities.registry import Registry
from contracts.base import JsonObject, Record
from contracts.decision import AuthorizationRequest
from policy.bundle import Bundle
from policy.case import CaseFacts
from policy.decide import decide
from policy.schema import cedar_schema
from settings import Settings

__all__ = ["Figures", "figures", "main"]

EVALUATION_MS_MAX = 0.5
LADDER_MS_MAX = 3.0
_AGENT = "support_refund"
_TOOL = "payments.issue_refund"
_LARGE_MINOR = 60_000


class Figures(Record):
    """Milliseconds of processor time, the middle of all rounds: neighbours on the machine do not count."""

    bare: float
    """cedarpy alone."""
    evaluation: float
    """A decision that one evaluation settles."""
    ladder: float
    """A decision that tries every rung."""
    two_principals: float
    """The same on behalf of a user."""
    current: float
    """Asking whether any file has changed."""

    def in_words(self) -> str:
        """A table."""
        rows = [
            ("bare cedarpy call", self.bare, ""),
            ("one evaluation", self.evaluation, f"below {EVALUATION_MS_MAX} ms"),
            ("whole ladder", self.ladder, f"below {LADDER_MS_MAX} ms"),
            ("whole ladder, for a user", self.two_principals, ""),
            ("bundle still current", self.current, ""),
        ]
        lines = [f"{'':28}{'p50 ms':>8}{'ratio':>8}"]
        lines += [f"{name:28}{value:8.3f}{value / self.bare:8.2f}  {wanted}".rstrip() for name, value, wanted in rows]
        return "\n".join(lines)

    @property
    def within(self) -> bool:
        """Whether both bounds hold."""
        return self.evaluation < EVALUATION_MS_MAX and self.ladder < LADDER_MS_MAX


def figures(rounds: int) -> Figures:
    """Measure on the installation's own policies."""
    settings = Settings()
    registry = Registry.scan(settings.agents_dir, load_ladder(settings.ladder_file))
    bundles = Bundles(
        registry, settings.ladder_file, tiers_file=settings.tiers_file, overlays_dir=settings.overlays_dir
    )
    bundle = bundles.current()
    small, large = _request(registry, bundle, 100), _request(registry, bundle, _LARGE_MINOR)
    acting = _request(registry, bundle, _LARGE_MINOR, user={"name": "lena", "groups": ["finance"]})
    return Figures(
        bare=_middle_ms(_bare(registry, small), rounds),
        evaluation=_middle_ms(lambda: decide(bundle, _fresh(small)), rounds),
        ladder=_middle_ms(lambda: decide(bundle, _fresh(large)), rounds),
        two_principals=_middle_ms(lambda: decide(bundle, _fresh(acting)), rounds),
        current=_middle_ms(bundles.current, rounds),
    )


def _request(registry: Registry, bundle: Bundle, amount_minor: int, **facts: object) -> AuthorizationRequest:
    agent = registry.agents[_AGENT]
    pinned = registry.pin(_AGENT, dict.fromkeys(agent.file.models, NO_MODEL), {})
    cases = read_cases(agent.folder)
    if cases is None:
        raise SystemExit(f"{_AGENT} has no policy_tests.yaml to take arguments from")
    arguments = {**cases.cases.arguments[_TOOL], "amount_minor": amount_minor}
    given = CaseFacts.model_validate({**cases.cases.facts.model_dump(), **facts})
    return case_request(bundle, pinned, agent.tools[_TOOL], arguments, given, {})


_opened_s = itertools.count(1)


def _fresh(request: AuthorizationRequest) -> AuthorizationRequest:
    """Such a request as no engine has met: of another run."""
    entities: list[JsonObject] = []
    for entity in request.entities:
        uid, attributes = cast("JsonObject", entity["uid"]), cast("JsonObject", entity["attrs"])
        if uid["type"] == "Run":
            attributes = {**attributes, "opened_s": next(_opened_s)}
        entities.append({**entity, "attrs": attributes})
    return request.model_copy(update={"context": dict(request.context), "entities": tuple(entities)})


def _bare(registry: Registry, request: AuthorizationRequest) -> Callable[[], object]:
    text = "\n".join(file.read_text("utf-8") for file in policy_files(registry).values())
    policies = cedarpy.PolicySet.from_str(text)
    schema = cedarpy.Schema.from_str(cedar_schema(registry.tools().values()))
    entities = cedarpy.Entities.from_json_str(json.dumps(request.entities), schema)  # pyright: ignore[reportUnknownMemberType] - an untyped dict among its alternatives
    context: JsonObject = {**request.context, "granted": [], "approvers": 0, "grant_kind": "none", "checked": []}
    asked = {
        "principal": request.principal,
        "action": request.action,
        "resource": request.resource,
        "context": context,
    }
    return lambda: cedarpy.is_authorized(asked, policies, entities, schema)  # pyright: ignore[reportUnknownMemberType] - untyped dicts


def _middle_ms(call: Callable[[], object], rounds: int) -> float:
    call()
    taken: list[int] = []
    for _ in range(rounds):
        began = time.thread_time_ns()
        call()
        taken.append(time.thread_time_ns() - began)
    return statistics.median(taken) / 1_000_000


def main() -> int:
    """Measure, print, and say by the exit code whether both bounds hold."""
    found = figures(rounds=2_000)
    print(found.in_words())
    return 0 if found.within else 1


if __name__ == "__main__":
    sys.exit(main())
