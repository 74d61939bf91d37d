"""What works off waiting votes and orders goes on after every fault, and ends when it is told to."""

import asyncio

import pytest

from approvals.dispatch import Dispatcher
from approvals.dispatch_commands import CommandDispatcher
from approvals.poller import Poller
from store.database import StoreDown

pytestmark = pytest.mark.req("A1", "O2")


class Scripted(Poller):
    """Rounds as they are listed; stopped with the last one."""

    what = "tests"
    batch = 3

    def __init__(self, *rounds: int | Exception, poll_s: float) -> None:
        super().__init__(poll_s)
        self.left = list(rounds)
        self.almost = asyncio.Event()

    async def round(self) -> int:
        found = self.left.pop(0)
        if not self.left:
            self.stop()
        if len(self.left) == 1:
            self.almost.set()
        if isinstance(found, Exception):
            raise found
        return found


@pytest.mark.parametrize("fault", [StoreDown("restarting"), RuntimeError("a fault of ours"), OSError()])
async def test_a_fault_delays_it_and_does_not_end_it(fault: Exception) -> None:
    poller = Scripted(1, fault, 2, fault, 0, poll_s=0)
    async with asyncio.timeout(10):
        await poller.run()
    assert poller.left == []


async def test_a_full_round_is_followed_at_once_and_a_short_one_is_not() -> None:
    poller = Scripted(3, 3, 3, 2, 0, poll_s=3_600)
    running = asyncio.create_task(poller.run())
    async with asyncio.timeout(10):
        await poller.almost.wait()
        assert not running.done()
        poller.stop()
        await running
    assert poller.left == [0]


def test_both_dispatchers_are_such() -> None:
    for one in (Dispatcher, CommandDispatcher):
        assert issubclass(one, Poller)
        assert "run" not in vars(one)
