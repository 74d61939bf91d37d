"""JSON Schema of `cases.yaml`, for editors: kept in `cases.schema.json` beside this file."""

import re
from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from contracts.base import JsonObject
from evals.cases import AgentDataset
from evals.evaluators import EVALUATORS

__all__ = ["cases_schema"]

_REFERENCE = "#/$defs/"
_SPEC = re.compile(r"(?:short_)?spec_(\w+)")


def cases_schema() -> JsonObject:
    """The dataset format with our evaluators alone: those of pydantic-evals do not read runs."""
    schema = cast("JsonObject", AgentDataset.model_json_schema_with_evaluators(EVALUATORS))
    ours = {kind.get_serialization_name() for kind in EVALUATORS}
    definitions = cast("dict[str, JsonObject]", schema.pop("$defs"))
    # What must come of a case is for its evaluators.
    cast("JsonObject", definitions["Case"]["properties"]).pop("expected_output")
    return _reachable(cast("JsonObject", _only(ours, schema)), definitions, ours)


def _reachable(root: JsonObject, definitions: Mapping[str, JsonValue], ours: set[str]) -> JsonObject:
    found: dict[str, JsonValue] = {}
    waiting = _references(root)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _only(ours, definitions[name])
            waiting |= _references(found[name])
    return {**root, "$defs": {name: found[name] for name in sorted(found)}}


def _only(ours: set[str], part: JsonValue) -> JsonValue:
    """The same, without choices that are evaluators of others."""
    if isinstance(part, dict):
        return {key: _only(ours, value) for key, value in part.items()}
    if isinstance(part, list):
        return [_only(ours, item) for item in part if not _is_foreign(ours, item)]
    return part


def _is_foreign(ours: set[str], item: JsonValue) -> bool:
    if not isinstance(item, dict):
        return False
    if isinstance(reference := item.get("$ref"), str):
        spec = _SPEC.fullmatch(reference.removeprefix(_REFERENCE))
        return spec is not None and spec[1] not in ours
    # An evaluator without arguments is a constant: none of ours has none.
    return (
        "const" in item and isinstance(item["const"], str) and item["const"][:1].isupper() and item["const"] not in ours
    )


def _references(part: JsonValue) -> set[str]:
    if isinstance(part, dict):
        own = part.get("$ref")
        found = {own.removeprefix(_REFERENCE)} if isinstance(own, str) else set[str]()
        return found.union(*(_references(value) for value in part.values()))
    if isinstance(part, list):
        return set[str]().union(*(_references(item) for item in part))
    return set()
