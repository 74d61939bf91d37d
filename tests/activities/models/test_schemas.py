"""Strict schemas, and the way back to plain arguments."""

from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal, cast

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from activities.models.schemas import FINISH_TOOL, plain_arguments, strict_schema, tool_schema
from contracts.base import JsonObject, Record
from contracts.tool import Effect, Money, Tier, Tool, ToolContext, tool

pytestmark = pytest.mark.req("T1", "B4")

ALLOWED = {"type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "const", "description"}


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Cash(Record):
    kind: Literal["cash"]
    note: str = ""


class Card(Record):
    kind: Literal["card"]
    number: str = Field(min_length=4)


class Arguments(Record):
    order_id: str = Field(pattern=r"^ORD-\d+$")
    """Which order."""
    amount: Money
    """What to pay."""
    day: date
    colour: Colour = Colour.RED
    lines: tuple[Money, ...] = Field(default=(), max_length=9)
    limit: int = Field(default=10, ge=1, le=20)
    remark: str | None = None
    by: Annotated[Cash | Card, Field(discriminator="kind")]


class Output(Record):
    ok: bool


async def pay(args: Arguments, ctx: ToolContext) -> Output:
    """Pay something."""
    del args, ctx
    return Output(ok=True)


def declared() -> Tool:
    return tool(
        name="payments.pay",
        version=1,
        tier=Tier.HIGH_IMPACT,
        effect=Effect.WRITE,
        owner="payments",
        resource=("Order", lambda args: args.order_id),
    )(pay)


def nodes(schema: object) -> Iterator[JsonObject]:
    """Every schema within a schema."""
    if isinstance(schema, list):
        for part in cast("list[object]", schema):
            yield from nodes(part)
    elif isinstance(schema, dict):
        node = cast("JsonObject", schema)
        yield node
        for key, part in node.items():
            if key == "properties":
                yield from nodes(list(cast("JsonObject", part).values()))
            elif key in ("items", "anyOf"):
                yield from nodes(part)


def test_every_object_is_closed_and_complete_and_only_known_keywords_are_used() -> None:
    parameters = tool_schema(declared()).parameters
    Draft202012Validator.check_schema(parameters)
    for schema in (parameters, FINISH_TOOL.parameters):
        for node in nodes(schema):
            assert set(node) <= ALLOWED
            if node.get("type") == "object":
                assert node["additionalProperties"] is False
                assert node["required"] == list(cast("JsonObject", node["properties"]))


def test_a_reason_is_asked_before_the_arguments() -> None:
    schema = tool_schema(declared())
    assert next(iter(cast("JsonObject", schema.parameters["properties"]))) == "why"
    assert (schema.name, schema.description) == ("payments.pay", "Pay something.")


def test_what_strict_mode_cannot_say_is_said_in_words() -> None:
    properties = cast("dict[str, JsonObject]", tool_schema(declared()).parameters["properties"])
    assert properties["order_id"]["description"] == r"Which order. (matching the regular expression ^ORD-\d+$)"
    assert properties["limit"]["description"] == "At least 1; at most 20; null means 10."
    assert "in the format date" in str(properties["day"]["description"]).lower()


def test_what_is_optional_may_be_null_and_comes_back_as_absent() -> None:
    proposed: JsonObject = {
        "why": "It is owed.",
        "order_id": "ORD-1",
        "amount": {"amount_minor": 5, "currency": "EUR"},
        "day": "2026-11-21",
        "colour": None,
        "lines": None,
        "limit": None,
        "remark": None,
        "by": {"kind": "cash", "note": "n"},
    }
    validator = cast("Any", Draft202012Validator(tool_schema(declared()).parameters))
    validator.validate(proposed)
    why, plain = plain_arguments(Arguments, proposed)
    assert why == "It is owed."
    assert "why" not in plain
    assert "limit" not in plain
    assert plain["remark"] is None
    parsed = Arguments.model_validate(plain)
    assert (parsed.limit, parsed.colour, parsed.lines) == (10, Colour.RED, ())


def test_wrong_arguments_come_back_unchanged_for_validation_to_refuse() -> None:
    proposed: JsonObject = {"why": 7, "order_id": None, "lines": "no list", "unknown": None, "amount": [None]}
    why, plain = plain_arguments(Arguments, proposed)
    assert why == ""
    assert plain == {"order_id": None, "lines": "no list", "unknown": None, "amount": [None]}


class WithWhy(Record):
    why: str


class Recursive(Record):
    children: "tuple[Recursive, ...]" = ()


class FreeForm(Record):
    data: dict[str, str]


class Anything(Record):
    data: Any


class Pair(Record):
    pair: tuple[int, str]


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (Recursive, "contains itself"),
        (FreeForm, "free names"),
        (Anything, "any type"),
        (Pair, "one type for all its items"),
    ],
)
def test_what_cannot_be_held_strictly_is_an_error_of_declaration(model: type[BaseModel], problem: str) -> None:
    with pytest.raises(TypeError, match=f"area.verb.*{problem}"):
        strict_schema(model, "area.verb")


def test_an_argument_named_why_is_an_error_of_declaration() -> None:
    async def ask(args: WithWhy, ctx: ToolContext) -> Output:
        """Ask."""
        del args, ctx
        return Output(ok=True)

    made = tool(
        name="area.ask",
        version=1,
        tier=Tier.READ_ONLY,
        effect=Effect.READ,
        owner="o",
        resource=("Thing", lambda _args: "1"),
    )(ask)
    with pytest.raises(TypeError, match="rename the argument 'why'"):
        tool_schema(made)
