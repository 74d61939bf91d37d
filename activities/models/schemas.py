"""Strict JSON Schemas of tools: what providers can hold a model to, and the way back from strict to plain arguments.

Strict tool calling of both providers knows a small part of JSON Schema: every property required, no others, no bounds,
patterns or formats; references are inlined. What it does not know is put into the description in words; the pydantic
model checks it afterwards, as it checks everything.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from typing import cast

from pydantic import BaseModel

from contracts.base import JsonObject
from contracts.model import ToolSchema
from contracts.tool import Tool

__all__ = ["FINISH_TOOL", "WHY", "plain_arguments", "plain_schema", "strict_schema", "tool_schema", "unions_in"]

WHY = "why"
MAX_DEPTH = 10
"""Nesting that both providers accept in strict mode."""

_WHY_SCHEMA: JsonObject = {
    "type": "string",
    "description": "Why this call is the right next step, in one sentence. At most 500 characters.",
}
_IN_WORDS: Mapping[str, str] = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "matching the regular expression {}",
    "format": "in the format {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "default": "null means {}",
}
_KEPT = ("type", "enum", "const")
_DROPPED = frozenset({"title", "examples", "uniqueItems", "discriminator", "deprecated"})

FINISH_TOOL = ToolSchema(
    name="finish",
    description="End the work: all that was asked is done, or a person must go on. Call it alone, once, at the end.",
    parameters={
        "type": "object",
        "properties": {
            "result": {
                "type": "string",
                "enum": ["done", "hand_over"],
                "description": "done: nothing is left to do. hand_over: a person must decide or act.",
            },
            "summary": {"type": "string", "description": "What was found and done, in a few sentences."},
            "needed": {"type": "string", "description": "What a person must do; empty when done."},
        },
        "required": ["result", "summary", "needed"],
        "additionalProperties": False,
    },
)
"""The built-in tool by which a model ends its work."""


def tool_schema(tool: Tool) -> ToolSchema:
    """A tool as a model sees it: strict, and with a reason (`why`) to be given before the arguments.

    Raises:
        TypeError: the arguments' model cannot be held strictly, or has a field `why` of its own.
    """
    return _tool_schema(tool.name, tool.description, tool.args_model)


@lru_cache(maxsize=1_024)
def _tool_schema(name: str, description: str, model: type[BaseModel]) -> ToolSchema:
    parameters = strict_schema(model, name)
    properties = cast("JsonObject", parameters["properties"])
    if WHY in properties:
        raise TypeError(f"{name}: rename the argument {WHY!r}: every call carries a reason of that name already")
    parameters["properties"] = {WHY: deepcopy(_WHY_SCHEMA), **properties}
    parameters["required"] = [WHY, *properties]
    return ToolSchema(name=name, description=description, parameters=parameters)


def strict_schema(model: type[BaseModel], where: str) -> JsonObject:
    """The strict JSON Schema of a model. `where` names the tool in errors.

    Raises:
        TypeError: recursion, free-form objects, values of any type, fixed tuples: none can be held strictly.
    """
    schema = model.model_json_schema()
    definitions = cast("JsonObject", schema.get("$defs", {}))
    strict = _strict(_inlined(schema, definitions, (), where), where, 0)
    if strict.get("type") != "object":
        raise TypeError(f"{where}: arguments must be an object with named fields")
    return strict


def plain_arguments(model: type[BaseModel], arguments: JsonObject) -> tuple[str, JsonObject]:
    """A call's reason and its arguments for the model: without `why`, and without the nulls that stand for "not given".

    Strict mode requires every property, so an optional one arrives as null: where the model has a default and does not
    take null itself, the property is removed. Nothing else is changed or checked.
    """
    plain = plain_schema(model)
    why = arguments.get(WHY)
    rest: JsonObject = {name: value for name, value in arguments.items() if name != WHY}
    return (why if isinstance(why, str) else "", cast("JsonObject", _without_nulls(plain, rest)))


@lru_cache(maxsize=1_024)
def plain_schema(model: type[BaseModel]) -> JsonObject:
    """The schema without references. Made once for each model: every call is read by it."""
    schema = model.model_json_schema()
    return _inlined(schema, cast("JsonObject", schema.get("$defs", {})), (), model.__name__)


def unions_in(schema: JsonObject) -> int:
    """How many values of a strict schema may have one of several types."""
    below: list[JsonObject] = list(cast("dict[str, JsonObject]", schema.get("properties", {})).values())
    below.extend(cast("list[JsonObject]", schema.get("anyOf", [])))
    if "items" in schema:
        below.append(cast("JsonObject", schema["items"]))
    return int("anyOf" in schema) + sum(map(unions_in, below))


def _inlined(schema: object, definitions: JsonObject, seen: tuple[str, ...], where: str) -> JsonObject:
    """A copy without references, single `allOf` merged, `oneOf` as `anyOf`."""
    node = dict(cast("JsonObject", schema))
    node.pop("$defs", None)
    reference = node.pop("$ref", None)
    if isinstance(reference, str):
        name = reference.rpartition("/")[2]
        if name in seen:
            raise TypeError(f"{where}: {name} contains itself; a model cannot be held to such arguments. Flatten it.")
        return {**_inlined(definitions[name], definitions, (*seen, name), where), **node}
    if "oneOf" in node:
        node["anyOf"] = node.pop("oneOf")
    parts = node.pop("allOf", None)
    if isinstance(parts, list):
        if len(parts) != 1:
            raise TypeError(f"{where}: combines several schemas (allOf); write one model")
        node = {**_inlined(parts[0], definitions, seen, where), **node}
    if isinstance(node.get("anyOf"), list):
        node["anyOf"] = [_inlined(part, definitions, seen, where) for part in cast("list[object]", node["anyOf"])]
    if isinstance(node.get("items"), dict):
        node["items"] = _inlined(node["items"], definitions, seen, where)
    if isinstance(node.get("properties"), dict):
        properties = cast("JsonObject", node["properties"])
        node["properties"] = {name: _inlined(part, definitions, seen, where) for name, part in properties.items()}
    return node


def _strict(node: JsonObject, where: str, depth: int) -> JsonObject:
    if depth > MAX_DEPTH:
        raise TypeError(f"{where}: nested deeper than {MAX_DEPTH} levels; flatten it")
    strict: JsonObject = {key: node[key] for key in _KEPT if key in node}
    if "anyOf" in node:
        strict["anyOf"] = [_strict(part, where, depth + 1) for part in cast("list[JsonObject]", node["anyOf"])]
    elif node.get("type") == "object":
        strict |= _strict_object(node, where, depth)
    elif node.get("type") == "array":
        if "prefixItems" in node or not isinstance(node.get("items"), dict):
            raise TypeError(f"{where}: an array needs one type for all its items")
        strict["items"] = _strict(cast("JsonObject", node["items"]), where, depth + 1)
    elif not strict:
        raise TypeError(f"{where}: a value of any type cannot be held strictly; name its type")
    unknown = set(node) - set(strict) - set(_IN_WORDS) - _DROPPED - {"description", "required", "additionalProperties"}
    if unknown:
        raise TypeError(f"{where}: JSON Schema keywords {sorted(unknown)} cannot be held strictly")
    description = _described(node)
    return {**strict, "description": description} if description else strict


def _strict_object(node: JsonObject, where: str, depth: int) -> JsonObject:
    properties = node.get("properties", {})
    if node.get("additionalProperties", False) is not False:
        raise TypeError(f"{where}: an object with free names cannot be held strictly; name its fields")
    required = cast("Sequence[str]", node.get("required", ()))
    children: JsonObject = {}
    for name, part in cast("dict[str, JsonObject]", properties).items():
        child = _strict(part, f"{where}.{name}", depth + 1)
        children[name] = child if name in required or _takes_null(part) else _nullable(child)
    return {"properties": children, "required": list(children), "additionalProperties": False}


def _nullable(node: JsonObject) -> JsonObject:
    described: JsonObject = {"description": node["description"]} if "description" in node else {}
    inner = {key: value for key, value in node.items() if key != "description"}
    options = cast("list[JsonObject]", inner["anyOf"]) if set(inner) == {"anyOf"} else [inner]
    return {"anyOf": [*options, {"type": "null"}], **described}


def _takes_null(node: JsonObject) -> bool:
    options = cast("list[JsonObject]", node.get("anyOf", ()))
    return node.get("type") == "null" or any(_takes_null(option) for option in options)


def _described(node: JsonObject) -> str:
    description = cast("str", node.get("description", "")).strip()
    words = [
        phrase.format(node[keyword])
        for keyword, phrase in _IN_WORDS.items()
        if keyword in node and not (keyword == "default" and node[keyword] is None)
    ]
    if not words:
        return description
    bounds = "; ".join(words)
    return f"{description} ({bounds})" if description else f"{bounds[0].upper()}{bounds[1:]}."


def _without_nulls(schema: JsonObject, value: object) -> object:
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        items = cast("JsonObject", schema["items"])
        return [_without_nulls(items, item) for item in cast("list[object]", value)]
    if not isinstance(value, dict):
        return cast("object", value)
    node = _object_branch(schema)
    properties = cast("dict[str, JsonObject]", node.get("properties", {}))
    required = cast("Sequence[str]", node.get("required", ()))
    kept: dict[str, object] = {}
    for name, item in cast("dict[str, object]", value).items():
        part = properties.get(name)
        if part is None:
            kept[name] = item
        elif item is not None or name in required or _takes_null(part):
            kept[name] = _without_nulls(part, item)
    return kept


def _object_branch(schema: JsonObject) -> JsonObject:
    options = cast("list[JsonObject]", schema.get("anyOf", ()))
    objects = [option for option in options if option.get("type") == "object"]
    # Which of several objects was meant is for validation to find out: their nulls stay.
    return objects[0] if len(objects) == 1 else schema
