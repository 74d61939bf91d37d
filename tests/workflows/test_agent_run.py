"""Whole runs on the real store, the real Temporal server and the real back office."""

import pytest

from contracts.outcome import Outcome, OutcomeReason
from tests.installation import Installation


@pytest.mark.req("D2")
async def test_a_small_refund_runs_alone_and_happens_once(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": "TIC-2001"})
    report = await handle.result()
    assert (report.outcome, report.reason) == (Outcome.COMPLETED, OutcomeReason.DONE)
    assert [refund["order_id"] for refund in installation.refunds()] == ["ORD-1001"]
