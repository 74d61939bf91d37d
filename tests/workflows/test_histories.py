"""Committed histories of every outcome replay on today's code: runs that are open when it is released go on."""

import re
from pathlib import Path

import pytest

from contracts.outcome import Outcome
from contracts.run_activities import CALL_MODEL, EXECUTE_TOOL, OPEN_APPROVAL, SEND_NOTICES
from incidents.replay import Diverged, Same, replay
from incidents.tell import tell
from tests.incidents.incompatible import Broken, EarlyEnd, OtherActivity, OtherOrder
from tests.incidents.recordings import FILES, SMALL, recorded

UNHURRIED = {SEND_NOTICES.name}
"""Beside the run: nobody waits for them."""
PATIENCE_S = 20
"""Of the recorded runs, for their store and for their models."""


@pytest.mark.req("D4")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_recorded_run_replays(file: Path) -> None:
    history = recorded(file.stem)
    verdict = await replay(history)
    # If not, a run that is open at the release would stop: `make histories` is only for changes that meet none.
    assert isinstance(verdict, Same), verdict
    assert verdict.closed
    assert verdict.events == history.events
    assert verdict.inputs >= 1


@pytest.mark.req("D4")
def test_every_outcome_is_recorded() -> None:
    reports = [tell(recorded(file.stem)).report for file in FILES]
    assert {report.outcome for report in reports if report} == set(Outcome)


def test_a_history_tells_nothing_of_the_machine_that_recorded_it() -> None:
    for file in FILES:
        text = file.read_text()
        assert set(re.findall(r'"identity": "([^"]*)"', text)) <= {"somebody@somewhere"}
        assert not re.search(r"site-packages|/(home|root)/", text), file


@pytest.mark.req("D4")
@pytest.mark.parametrize(
    ("code", "event", "expected", "actual"),
    [
        (OtherActivity, 7, "call_model (s1-model)", "fetch_weather (s1-weather)"),
        (OtherOrder, 5, "pin_agent (pin)", "call_model (s1-model)"),
        (EarlyEnd, 6, "a timer", "the end of the workflow"),
        (Broken, 7, "call_model (s1-model)", "KeyError: 'step'"),
    ],
)
async def test_incompatible_code_diverges_and_says_where(code: type, event: int, expected: str, actual: str) -> None:
    verdict = await replay(recorded(SMALL), workflows=[code])
    assert isinstance(verdict, Diverged), verdict
    assert (verdict.link, verdict.event) == (1, event)
    assert expected in verdict.expected
    assert actual in verdict.actual


@pytest.mark.req("D2")
def test_every_activity_on_the_store_is_waited_for_as_long_as_the_run_says() -> None:
    """What an attempt may take comes on top of that patience, and takes nothing from it."""
    seen: set[str] = set()
    for file in FILES:
        history = recorded(file.stem)
        for event in (event for link in history.links for event in link.events):
            asked = event.activity_task_scheduled_event_attributes
            if not event.HasField("activity_task_scheduled_event_attributes") or asked.activity_type.name in UNHURRIED:
                continue
            seen.add(asked.activity_type.name)
            patience_s = asked.schedule_to_close_timeout.ToSeconds() - asked.start_to_close_timeout.ToSeconds()
            assert patience_s == PATIENCE_S, (file.stem, asked.activity_id)
    assert {CALL_MODEL.name, EXECUTE_TOOL.name, OPEN_APPROVAL.name} <= seen
