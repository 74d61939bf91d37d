"""Lines of a worker's log name the run, step and call of the activity that writes them."""

import dataclasses
import logging

import pytest
from temporalio.testing import ActivityEnvironment

from settings.logs import Names
from workers.log_names import names_of

pytestmark = pytest.mark.req("O1")
RUN = "run-" + "a" * 26


def names_in(activity_id: str) -> Names:
    """What a line is about that an activity with this id writes."""
    made = ActivityEnvironment()
    made.info = dataclasses.replace(
        made.info, workflow_id=RUN, activity_id=activity_id, activity_type="execute_tool", attempt=2
    )
    found: Names = made.run(names_of, logging.makeLogRecord({}))
    return found


@pytest.mark.parametrize(
    ("activity_id", "place"),
    [
        ("s3-c0-v1", {"step": 3, "call": 0, "key": f"{RUN}/3/0"}),
        ("s12-c4-check-second_look", {"step": 12, "call": 4, "key": f"{RUN}/12/4"}),
        ("s7-model-1", {"step": 7}),
        ("close", {}),
        ("settle-apr-s3-c1", {}),
    ],
)
def test_an_activity_is_placed_by_its_id(activity_id: str, place: Names) -> None:
    assert names_in(activity_id) == {"activity": "execute_tool", "attempt": 2, "run": RUN, **place}


def test_a_line_of_workflow_code_names_its_run_and_any_other_none() -> None:
    told = logging.makeLogRecord({"temporal_workflow": {"workflow_id": RUN, "attempt": 1}})
    assert names_of(told) == {"run": RUN}
    assert names_of(logging.makeLogRecord({})) == {}
