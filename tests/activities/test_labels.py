"""A label must name a field that the output has: what is not labelled counts as trusted."""

from dataclasses import replace

import pytest
from pydantic import JsonValue

from activities.agent_tools import unknown_labels
from contracts.base import Record
from contracts.tool import Label
from tests.policy.desk import declared

pytestmark = pytest.mark.req("P8")


class Line(Record):
    """A line."""

    note: str
    more: dict[str, JsonValue] | None = None


class Answer(Record):
    """An answer."""

    title: str
    lines: tuple[Line, ...]
    last: Line | None


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("title", True),
        ("lines", True),
        ("lines.note", True),
        ("last.note", True),
        ("lines.more.anything", True),
        ("notes", False),
        ("lines.notes", False),
        ("title.note", False),
        ("lines.note.text", False),
        ("", False),
    ],
)
def test_a_label_of_a_field_that_is_not_there_is_found(path: str, known: bool) -> None:  # noqa: FBT001 - a column
    tool = replace(declared(), output_model=Answer, labels={path: Label.UNTRUSTED})
    assert unknown_labels(tool) == ([] if known else [path])
