"""A call that two readers could read differently is refused, and nothing behind it is read."""

import pytest

from tests.examples.server import Server
from tests.wire import AMBIGUOUS, Door


@pytest.mark.req("I3")
@pytest.mark.parametrize("what", AMBIGUOUS)
def test_nothing_behind_a_call_with_two_readings_is_read(running_server: Server, what: str) -> None:
    door = Door(running_server.port, "/refunds")
    assert [status for status in door.statuses(AMBIGUOUS[what](door)) if not status.startswith("4")] == []
