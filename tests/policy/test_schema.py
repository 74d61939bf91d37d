"""Arguments reach policy typed, or their tool is refused by name."""

from enum import Enum, IntEnum
from typing import Any, Literal, Union

import cedarpy
import pytest
from pydantic import create_model

from contracts.base import Record
from contracts.tool import Tier
from policy.schema import SchemaError, cedar_arguments, cedar_schema
from tests.policy.desk import declared

pytestmark = pytest.mark.req("T1", "P1")


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


class Inner(Record):
    street: str
    floor: int | None = None


class Tree(Record):
    children: "tuple[Tree, ...]" = ()


class Open(Record, extra="allow"):
    name: str


def arguments_of(**fields: Any) -> str:  # noqa: ANN401 - any annotation, with or without a default
    model = create_model("Arguments", __base__=Record, **fields)
    schema = cedar_schema([declared(args=model)])
    cedarpy.Schema.from_str(schema)
    return schema.split('"args": ', 1)[1].split(', "provenance"', 1)[0]


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (str, "String"),
        (int, "Long"),
        (bool, "Bool"),
        (Colour, "String"),
        (Size, "Long"),
        (Literal["a", "b"], "String"),
        (Literal["a"], "String"),
        (Literal[1, 2], "Long"),
        (list[str], "Set<String>"),
        (tuple[int, ...], "Set<Long>"),
        (list[list[bool]], "Set<Set<Bool>>"),
        (list[str | None], "Set<String>"),
        (Inner, '{ "floor"?: Long, "street": String }'),
        (tuple[Inner, ...], 'Set<{ "floor"?: Long, "street": String }>'),
    ],
)
def test_each_supported_type_has_its_cedar_type(annotation: object, kind: str) -> None:
    assert arguments_of(field=(annotation, ...)) == f'{{ "field": {kind} }}'


@pytest.mark.parametrize(
    ("field", "mark"),
    [((str, ...), ""), ((str, "usual"), ""), ((str | None, ...), "?"), ((str | None, None), "?"), ((str, None), "")],
)
def test_what_may_be_null_is_optional_and_what_has_a_default_is_not(field: tuple[object, object], mark: str) -> None:
    assert arguments_of(field=field) == f'{{ "field"{mark}: String }}'


@pytest.mark.parametrize(
    "annotation",
    [
        float,
        list[float],
        float | None,
        dict[str, str],
        dict[str, Any],
        Any,
        Union[int, str],  # noqa: UP007 - both spellings are one type
        tuple[str, int],
        Literal["a", 1],
        Tree,
        Open,
        list[Open],
    ],
)
def test_a_type_that_policy_cannot_compare_is_refused_with_tool_and_field_named(annotation: object) -> None:
    with pytest.raises(SchemaError, match=r"^desk\.read: args\.field.* has a type that policy cannot compare"):
        arguments_of(field=(annotation, ...))


def test_the_field_inside_a_nested_model_is_named() -> None:
    inner = create_model("Price", __base__=Record, amount=(float, ...))
    with pytest.raises(SchemaError, match=r"args\.price\.amount"):
        arguments_of(price=(inner, ...))


def test_names_that_cedar_would_read_otherwise_are_quoted() -> None:
    fields: dict[str, Any] = {"if": (str, ...), "has": (int, 0), "größe": (bool, ...)}
    assert arguments_of(**fields) == '{ "größe": Bool, "has": Long, "if": String }'


@pytest.mark.parametrize("name", ["User", "Agent", "Tenant", "Action", "String", "Record"])
def test_a_resource_type_of_policys_own_is_refused(name: str) -> None:
    with pytest.raises(SchemaError, match=r"^desk\.read: the resource type"):
        cedar_schema([declared(resource=name)])


def test_the_schema_does_not_depend_on_the_order_of_tools_or_on_repetition() -> None:
    tools = [declared("desk.b", tier=Tier.REVERSIBLE), declared("desk.a"), declared("desk.c", resource="Other")]
    expected = cedar_schema(tools)
    assert cedar_schema(reversed(tools)) == expected
    assert cedar_schema([*tools, tools[0]]) == expected
    assert expected.index('"desk.a"') < expected.index('"desk.b"') < expected.index('"desk.c"')


def test_one_name_with_two_sets_of_arguments_is_refused() -> None:
    with pytest.raises(SchemaError, match=r"desk\.read: two tools"):
        cedar_schema([declared(), declared(args=Inner)])


@pytest.mark.parametrize("tier", Tier)
def test_a_tools_tier_and_effect_are_groups_of_its_action(tier: Tier) -> None:
    effect = "read" if tier is Tier.READ_ONLY else "write"
    assert f'action "desk.x" in ["{effect}", "tier{tier.value}"]' in cedar_schema([declared("desk.x", tier=tier)])


def test_an_absent_argument_is_left_out_at_every_depth() -> None:
    assert cedar_arguments({"a": None, "b": {"c": None, "d": [1, None, {"e": None}]}}) == {"b": {"d": [1, {}]}}
