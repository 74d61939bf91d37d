"""Cedar behind a small interface: one request in, allowed or not and why out. Every fault is a denial."""

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, cast

import cedarpy
from pydantic import JsonValue

from contracts.base import JsonObject, Record
from contracts.decision import AuthorizationRequest, GrantKind
from policy.cedar_text import CedarPolicy, cedar_policies

__all__ = ["CedarEngine", "Evaluation", "PolicyEngine", "agent_of", "entity_id", "entity_name", "form_of"]

_MAX_ENTITIES = 256
_MAX_FORMS = 10_000
_MAX_SLICES = 20_000
_ESCAPES = frozenset({"__entity", "__extn"})
"""Cedar's marks of values that JSON has no type for."""
_PRINCIPALS = frozenset({"Agent", "User"})


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
        self,
        request: AuthorizationRequest,
        granted: Sequence[str],
        approvers: int,
        checked: Sequence[str] = (),
        kind: GrantKind = "people",
    ) -> Evaluation:
        """Evaluate with these rungs of the ladder granted by that many persons so, and these checks passed."""
        ...


@dataclass(frozen=True)
class _Asked:
    """A request that has been evaluated once against the schema: what its other evaluations need."""

    request: AuthorizationRequest
    head: Mapping[str, JsonObject]
    policies: cedarpy.PolicySet
    entities: cedarpy.Entities
    context: JsonObject
    """What the policies read of it."""


class CedarEngine:
    """Policies and schema parsed once. A request meets only the policies that can match its agent and action.

    The first request of a form (`form_of`) is checked against the schema, for which form is all that counts. Later ones
    are not checked again, nor are those up the ladder, which differ in the grant alone: they carry only what the
    policies read. Entities are always checked.
    """

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
        self._slices: dict[tuple[str, str, str], tuple[cedarpy.PolicySet, frozenset[str] | None]] = {}
        self._last: dict[str, _Asked] = {}
        self._sound: set[Hashable] = set()
        self._entities = lru_cache(maxsize=_MAX_ENTITIES)(self._read_entities)

    def evaluate(
        self,
        request: AuthorizationRequest,
        granted: Sequence[str],
        approvers: int,
        checked: Sequence[str] = (),
        kind: GrantKind = "people",
    ) -> Evaluation:
        """See `PolicyEngine`. Cedar itself skips a forbid that errors: any diagnostics error is a denial here."""
        grant: JsonObject = {
            "granted": [*granted],
            "approvers": approvers,
            "grant_kind": kind if granted or approvers else "none",
            "checked": [*checked],
        }
        try:
            principal = request.principal.partition("::")[0]
            known = self._last.get(principal)
            if known is not None and _is_same(known.request, request):
                return _authorized(known, {**known.context, **grant}, None)
            asked = self._asked(request)
            action, resource = asked.head["action"]["id"], asked.head["resource"]["type"]
            form = (principal, action, resource, form_of(request.context))
            if form in self._sound:
                found = _authorized(asked, {**asked.context, **grant}, None)
            else:
                found = _authorized(asked, {**request.context, **grant}, self._schema)
                if not found.errors and len(self._sound) < _MAX_FORMS:
                    self._sound.add(form)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic of native code is no Exception; nothing is allowed
            return Evaluation(allowed=False, policies=(), errors=(f"{type(error).__name__}: {error}",))
        if not found.errors and principal in _PRINCIPALS:
            self._last[principal] = asked
        return found

    def _asked(self, request: AuthorizationRequest) -> _Asked:
        principal, action = _uid(request.principal), _uid(request.action)
        policies, read = self._slice(str(principal["type"]), agent_of(request), str(action["id"]))
        return _Asked(
            request=request,
            head={"principal": principal, "action": action, "resource": _uid(request.resource)},
            policies=policies,
            entities=self._entities(json.dumps(request.entities)),
            context={key: value for key, value in request.context.items() if read is None or key in read},
        )

    def _read_entities(self, text: str) -> cedarpy.Entities:
        """A slice of entities, checked against the schema, which adds the groups of actions."""
        return cedarpy.Entities.from_json_str(text, self._schema)  # pyright: ignore[reportUnknownMemberType] - an untyped dict among its alternatives

    def _slice(self, principal_type: str, agent: str, action: str) -> tuple[cedarpy.PolicySet, frozenset[str] | None]:
        """The policies that can match, and what of the context they read (None: all of it)."""
        key = (principal_type, agent, action)
        found = self._slices.get(key)
        if found is None:
            if self._faulty:
                raise ValueError("a policy of the bundle does not parse")
            chosen = [policy for policy in self._policies if policy.concerns(*key)]
            reads = [policy.reads() for policy in chosen]
            whole = None if None in reads else frozenset[str]().union(*(read for read in reads if read is not None))
            found = (cedarpy.PolicySet.from_str("\n".join(policy.text for policy in chosen)), whole)
            # Names come from requests: a stranger's must not fill the memory.
            if len(self._slices) < _MAX_SLICES:
                self._slices[key] = found
        return found


def _is_same(one: AuthorizationRequest, other: AuthorizationRequest) -> bool:
    """Whether it is the very same request; contexts are compared by identity, so that a changed one is another."""
    return (
        one.context is other.context
        and one.entities is other.entities
        and (one.principal, one.action, one.resource) == (other.principal, other.action, other.resource)
    )


def _authorized(asked: _Asked, context: JsonObject, schema: cedarpy.Schema | None) -> Evaluation:
    result = cedarpy.is_authorized(  # pyright: ignore[reportUnknownMemberType] - untyped dicts
        {**asked.head, "context": context}, asked.policies, asked.entities, schema
    )
    diagnostics = result.diagnostics
    errors = tuple(str(error) for error in diagnostics.errors)
    if result.decision is cedarpy.Decision.NoDecision:
        reasons = tuple(str(reason) for reason in diagnostics.reasons)
        return Evaluation(allowed=False, policies=(), errors=errors or reasons or ("no decision",))
    names = cast("dict[str, str]", diagnostics.id_annotations_by_reason)
    policies = tuple(sorted(names.get(reason, reason) for reason in diagnostics.reasons))
    return Evaluation(allowed=result.allowed and not errors, policies=policies, errors=errors)


def form_of(value: JsonValue) -> Hashable:
    """What a schema sees of a value: names and types, the types of entities, and nothing of what it says."""
    if isinstance(value, dict):
        if value.keys() & _ESCAPES:
            kinds = (value.get("__entity"), value.get("__extn"))
            return tuple((kind.get("type"), kind.get("fn")) if isinstance(kind, dict) else None for kind in kinds)
        return tuple((name, form_of(part)) for name, part in value.items())
    if isinstance(value, list):
        return frozenset(form_of(part) for part in value)
    return type(value)


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
