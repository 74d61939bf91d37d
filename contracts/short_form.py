"""The short form in which an authorization request is recorded, and the way back.

A request stands in the history and in the audit chain of every call. Two thirds of it would be words that say nothing:
context that has its neutral value, the frame of entities that all look alike, and what principal and resource say
already. The form has a number: what is recorded stays readable, whatever a later form leaves out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from pydantic import JsonValue

from contracts.base import JsonObject

__all__ = ["restored", "shortened"]

_FORM = "short_form"
_NUMBER = 1
_NEUTRAL: Mapping[str, JsonValue] = MappingProxyType(
    {
        "amount_minor": 0, "break_glass": [], "calls_today": 0, "currency": "", "customer_visible": False,
        "data_class": "internal", "forbidden_after": [], "halted": False, "missing_steps": [], "money_minor": 0,
        "money_today_minor": 0, "outgoing": [], "outgoing_action": "none", "repeated": False, "requested": False,
        "requested_all": False, "reversible": False, "spent": [], "tainted_arguments": [],
        "tier_because": ["declared", "data", "money"], "unproven": [],
    }
)  # fmt: skip
"""Of form 1; it never changes."""
_FOLLOWS = frozenset({"tenant", "agent", "run", "run_age_s"})
"""Context that follows from the principal, the run's entity and the time, where it is usual."""


def shortened(request: JsonObject) -> JsonObject:
    """A request in its short form; `restored` gives back exactly this one. One that has no short form stays whole."""
    context = cast("JsonObject", request["context"])
    if not _NEUTRAL.keys() | _FOLLOWS <= context.keys():
        return request  # incomplete: what is missing must not come back
    named = _Named.by(request)
    whole = [cast("JsonObject", entity) for entity in cast("Sequence[JsonValue]", request["entities"])]
    usual = {**_NEUTRAL, **named.context(whole, context.get("now_s"))}
    told = {name: value for name, value in context.items() if not _is_same(usual.get(name), value)}
    return {**request, _FORM: _NUMBER, "context": told, "entities": [named.short(entity) for entity in whole]}


def restored(document: object) -> object:
    """A recorded request, whole. Whatever has no short form is returned as it is.

    Raises:
        ValueError: a form that this version does not know.
    """
    if not isinstance(document, dict):
        return document
    whole = {**cast("JsonObject", document)}
    if _FORM not in whole:
        return whole
    form = whole.pop(_FORM)
    if form != _NUMBER:
        raise ValueError(f"the request is recorded in form {form}, of which this version knows nothing")
    named = _Named.by(whole)
    entities = [named.long(entity) for entity in cast("Sequence[JsonValue]", whole["entities"])]
    told = cast("JsonObject", whole["context"])
    whole["context"] = {**_NEUTRAL, **named.context(entities, told.get("now_s")), **told}
    whole["entities"] = entities
    return whole


def _is_same(usual: JsonValue, value: JsonValue) -> bool:
    return usual is not None and type(value) is type(usual) and value == usual


@dataclass(frozen=True)
class _Named:
    """The entities that a request names: what is usual about the rest follows from them."""

    agent: str
    """Id of the principal, such as `acme/support_refund`; empty when it is no agent."""
    kind: str
    """Type of the resource."""
    resource: str
    """Its id."""

    @classmethod
    def by(cls, request: JsonObject) -> "_Named":
        (principal, agent), (kind, resource) = _entity(request.get("principal")), _entity(request.get("resource"))
        return cls(agent if principal == "Agent" else "", kind, resource)

    def context(self, entities: Sequence[JsonValue], now_s: JsonValue) -> JsonObject:
        """The context that follows."""
        tenant, slash, name = self.agent.partition("/")
        follows: JsonObject = {"tenant": tenant, "agent": name} if slash else {}
        run = next((one for one in entities if isinstance(one, dict) and _uid_of(one)[0] == "Run"), None)
        if run is not None:
            follows["run"] = {"__entity": {"type": "Run", "id": _uid_of(run)[1]}}
            opened_s = cast("JsonObject", run["attrs"]).get("opened_s")
            if isinstance(opened_s, int) and isinstance(now_s, int):
                follows["run_age_s"] = max(now_s - opened_s, 0)
        return follows

    def short(self, entity: JsonObject) -> JsonValue:
        """Type, id and attributes, without what follows."""
        kind, identity = _uid_of(entity)
        if not kind:
            return entity
        attributes = cast("JsonObject", entity["attrs"])
        usual = self._attributes(kind, identity)
        rest: JsonObject = {name: value for name, value in attributes.items() if not _is_same(usual.get(name), value)}
        short: list[JsonValue] = [kind]
        short += [] if identity == self._identity(kind) else [identity]
        short += [rest] if rest else []
        return short if self.long(short) == entity else entity

    def long(self, entity: JsonValue) -> JsonValue:
        """The way back."""
        if not isinstance(entity, list):
            return entity
        kind, *told = entity
        identity = told.pop(0) if told and isinstance(told[0], str) else self._identity(str(kind))
        rest = told[0] if told and isinstance(told[0], dict) else {}
        usual = self._attributes(str(kind), str(identity))
        parents: list[JsonValue] = [{"type": "Tenant", "id": usual["tenant"]}] if "tenant" in usual else []
        return {"uid": {"type": kind, "id": identity}, "attrs": {**usual, **rest}, "parents": parents}

    def _identity(self, kind: str) -> str:
        """The id of the entity of that type that the request names."""
        if kind == self.kind:
            return self.resource
        return {"Agent": self.agent, "Tenant": self.agent.partition("/")[0]}.get(kind, "")

    def _attributes(self, kind: str, identity: str) -> JsonObject:
        if kind == "Tenant":
            return {}
        tenant, _, name = identity.partition("/")
        usual: JsonObject = {"tenant": tenant}
        if kind == "Agent":
            usual["name"] = name
        elif kind == "Run":
            usual["agent"] = {"__entity": {"type": "Agent", "id": self.agent}}
        elif kind == self.kind:
            usual["key"] = name
        return usual


def _entity(name: JsonValue) -> tuple[str, str]:
    """Type and id of an entity in Cedar's text form."""
    kind, _, quoted = name.partition("::") if isinstance(name, str) else ("", "", "")
    try:
        identity = json.loads(quoted)
    except ValueError:
        return "", ""
    return (kind, identity) if isinstance(identity, str) else ("", "")


def _uid_of(entity: JsonObject) -> tuple[str, str]:
    """Type and id of an entity in Cedar's JSON form; empty when it has another shape."""
    uid = entity.get("uid")
    if not (isinstance(uid, dict) and isinstance(entity.get("attrs"), dict)):
        return "", ""
    kind, identity = uid.get("type"), uid.get("id")
    return (kind, identity) if isinstance(kind, str) and isinstance(identity, str) else ("", "")
