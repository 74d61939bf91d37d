"""Cedar behind a small interface: one request in, allowed or not and why out. Every fault is a denial."""

import json
from collections.abc import Sequence
from typing import Protocol, cast

import cedarpy

from contracts.base import JsonObject, Record
from contracts.decision import AuthorizationRequest
from policy.cedar_text import CedarPolicy, cedar_policies

__all__ = ["CedarEngine", "Evaluation", "PolicyEngine", "agent_of", "entity_id", "entity_name"]

_MAX_SLICES = 20_000


class Evaluation(Record):
    """Answer of a policy engine to one request."""

    allowed: bool
    policies: tuple[str, ...]
    """Ids of the determining policies, sorted: the permits of an allow, the forbids of a denial; perhaps none."""
    errors: tuple[str, ...] = ()
    """Faults of the evaluation; with any of them `allowed` is false."""


class PolicyEngine(Protocol):
    """Anything that can evaluate a request against the policies that it was built from."""

    def evaluate(
        self, request: AuthorizationRequest, granted: Sequence[str], approvers: int, checked: Sequence[str] = ()
    ) -> Evaluation:
        """Evaluate with these rungs of the ladder granted by that many persons, and these checks passed."""
        ...


class CedarEngine:
    """Policies and schema parsed once. A request meets only the policies that can match its agent and action."""

    def __init__(self, policies: str, schema: str) -> None:
        """Parse.

        Raises:
            ValueError: the text does not parse.
        """
        cedarpy.PolicySet.from_str(policies)
        parts = cedar_policies(policies)
        self._policies = [part for part in parts if isinstance(part, CedarPolicy)]
        self._faulty = len(self._policies) < len(parts)
        self._schema = cedarpy.Schema.from_str(schema)
        self._slices: dict[tuple[str, str, str], cedarpy.PolicySet] = {}
        self._entities: tuple[tuple[JsonObject, ...], cedarpy.Entities] | None = None

    def evaluate(
        self, request: AuthorizationRequest, granted: Sequence[str], approvers: int, checked: Sequence[str] = ()
    ) -> Evaluation:
        """See `PolicyEngine`. Cedar itself skips a forbid that errors: any diagnostics error is a denial here."""
        context = {**request.context, "granted": list(granted), "approvers": approvers, "checked": list(checked)}
        try:
            principal, action = _uid(request.principal), _uid(request.action)
            result = cedarpy.is_authorized(  # pyright: ignore[reportUnknownMemberType] - untyped dicts
                {
                    "principal": principal,
                    "action": action,
                    "resource": _uid(request.resource),
                    "context": context,
                },
                self._slice(str(principal["type"]), agent_of(request), str(action["id"])),
                self._parsed(request.entities),
                self._schema,
            )
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic of native code is no Exception; nothing is allowed
            return Evaluation(allowed=False, policies=(), errors=(f"{type(error).__name__}: {error}",))
        diagnostics = result.diagnostics
        errors = tuple(str(error) for error in diagnostics.errors)
        if result.decision is cedarpy.Decision.NoDecision:
            reasons = tuple(str(reason) for reason in diagnostics.reasons)
            return Evaluation(allowed=False, policies=(), errors=errors or reasons or ("no decision",))
        names = cast("dict[str, str]", diagnostics.id_annotations_by_reason)
        policies = tuple(sorted(names.get(reason, reason) for reason in diagnostics.reasons))
        return Evaluation(allowed=result.allowed and not errors, policies=policies, errors=errors)

    def _slice(self, principal_type: str, agent: str, action: str) -> cedarpy.PolicySet:
        """The policies that can match: an agent's own and those about every agent, of this action."""
        key = (principal_type, agent, action)
        found = self._slices.get(key)
        if found is None:
            if self._faulty:
                raise ValueError("a policy of the bundle does not parse")
            text = "\n".join(policy.text for policy in self._policies if policy.concerns(*key))
            found = cedarpy.PolicySet.from_str(text)
            # Names come from requests: a stranger's must not fill the memory.
            if len(self._slices) < _MAX_SLICES:
                self._slices[key] = found
        return found

    def _parsed(self, entities: tuple[JsonObject, ...]) -> cedarpy.Entities:
        """The entity slice, checked against the schema; the evaluations of one decision follow each other."""
        last = self._entities
        if last is None or last[0] is not entities:
            text = json.dumps(entities)
            last = (entities, cedarpy.Entities.from_json_str(text, self._schema))  # pyright: ignore[reportUnknownMemberType] - an untyped dict among its alternatives
            self._entities = last
        return last[1]


def agent_of(request: AuthorizationRequest) -> str:
    """Name of the agent that makes a call, whoever's permission is being asked."""
    acting = request.context.get("agent")
    return acting if isinstance(acting, str) else entity_id(request.principal).rpartition("/")[2]


def entity_name(kind: str, identity: str) -> str:
    """Cedar's text form of an entity, such as `Agent::"acme/support_refund"`."""
    return f"{kind}::{json.dumps(identity, ensure_ascii=False)}"


def entity_id(name: str) -> str:
    """The id of an entity in text form, such as `acme/support_refund`."""
    return str(_uid(name)["id"])


def _uid(text: str) -> JsonObject:
    kind, _, quoted = text.partition("::")
    return {"type": kind, "id": json.loads(quoted)}
