"""Fields of records are described by the docstrings under them, in every schema that is made of them."""

from typing import ClassVar

from pydantic import Field, create_model

from contracts.base import Record


class _Base(Record):
    kept: int
    """Kept from
    the base."""
    again: int = 1
    """Said by the base."""


class _Derived(_Base):
    PLACE: ClassVar[str] = "here"
    """No field."""
    again: int = 2
    """Said anew."""
    named: int = Field(default=3, alias="other")
    """Under its other name."""
    told: int = Field(default=4, description="Told apart.")
    """Not this."""
    bare: int = 5


def test_docstrings_describe_fields() -> None:
    properties = _Derived.model_json_schema()["properties"]
    said = {name: field.get("description") for name, field in properties.items()}
    assert said == {
        "kept": "Kept from\nthe base.",
        "again": "Said anew.",
        "other": "Under its other name.",
        "told": "Told apart.",
        "bare": None,
    }


def test_a_record_within_another_is_described_too() -> None:
    class Outer(Record):
        inner: list[_Base]
        """Some."""

    schema = Outer.model_json_schema()
    assert schema["properties"]["inner"]["description"] == "Some."
    assert schema["$defs"]["_Base"]["properties"]["again"]["description"] == "Said by the base."


def test_a_record_made_without_source_has_a_schema() -> None:
    made = create_model("Made", __base__=_Base, more=(int, 1))
    assert "description" not in made.model_json_schema()["properties"]["more"]
