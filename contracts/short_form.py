"""The short form in which an authorization request is recorded, and the way back.

A request stands in the history and in the audit chain of every call. Half of it would be words that say nothing:
context that has its neutral value, and the frame of entities that all look alike. The form has a number: what is
recorded stays readable, whatever a later form leaves out.
"""

from collections.abc import Mapping, Sequence
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
        "forbidden_after": [], "halted": False, "missing_steps": [], "money_minor": 0, "money_today_minor": 0,
        "outgoing": [], "outgoing_action": "none", "repeated": False, "requested": False, "requested_all": False,
        "reversible": False, "spent": [], "tainted_arguments": [], "unproven": [],
    }
)  # fmt: skip
"""Of form 1; it never changes."""


def shortened(request: JsonObject) -> JsonObject:
    """A request in its short form; `restored` gives back exactly this one. One that has no short form stays whole."""
    context = cast("JsonObject", request["context"])
    if not _NEUTRAL.keys() <= context.keys():
        return request  # incomplete: what is missing must not come back as neutral
    told = {name: value for name, value in context.items() if not _is_neutral(name, value)}
    entities = [_short(cast("JsonObject", entity)) for entity in cast("Sequence[JsonValue]", request["entities"])]
    return {**request, _FORM: _NUMBER, "context": told, "entities": entities}


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
    whole["context"] = {**_NEUTRAL, **cast("JsonObject", whole["context"])}
    whole["entities"] = [_long(entity) for entity in cast("Sequence[JsonValue]", whole["entities"])]
    return whole


def _is_neutral(name: str, value: JsonValue) -> bool:
    neutral = _NEUTRAL.get(name)
    return neutral is not None and type(value) is type(neutral) and value == neutral


def _short(entity: JsonObject) -> JsonValue:
    """Type, id and attributes, where tenant and parents follow from the id."""
    uid, attributes = entity.get("uid"), entity.get("attrs")
    if not (isinstance(uid, dict) and isinstance(attributes, dict) and isinstance(uid.get("id"), str)):
        return entity
    short: list[JsonValue] = [
        uid.get("type"), uid["id"], {name: value for name, value in attributes.items() if name != "tenant"},
    ]  # fmt: skip
    return short if _long(short) == entity else entity


def _long(entity: JsonValue) -> JsonValue:
    if not isinstance(entity, list):
        return entity
    kind, identity, attributes = entity
    if not (isinstance(identity, str) and isinstance(attributes, dict)):
        return entity
    uid: JsonObject = {"type": kind, "id": identity}
    if kind == "Tenant":
        return {"uid": uid, "attrs": {}, "parents": []}
    tenant = identity.partition("/")[0]
    return {"uid": uid, "attrs": {"tenant": tenant, **attributes}, "parents": [{"type": "Tenant", "id": tenant}]}
