"""The evidence of a decision can be computed again, by anybody, from what the run recorded."""

import json

import pytest

from activities.agent_tools import AGENTS_FOLDER
from contracts.audit import CallDecided
from policy.provenance import ValueIndex
from tests.installation import TENANT, Installation

pytestmark = pytest.mark.req("P8", "D2")


async def test_the_evidence_of_every_decision_follows_from_the_recorded_messages(installation: Installation) -> None:
    handle = await installation.start({"ticket_id": "TIC-2001"})
    await handle.result()
    async with installation.db.tenant(TENANT) as cursor:
        await cursor.execute(
            "select seq, step, call, content from messages where tenant = %s and run_id = %s order by seq",
            (TENANT, handle.id),
        )
        messages = await cursor.fetchall()
        await cursor.execute(
            "select body from audit where tenant = %s and run_id = %s and kind = 'decided' order by seq",
            (TENANT, handle.id),
        )
        decided = [CallDecided.model_validate_json(row["body"]) for row in await cursor.fetchall()]
    tools = installation.engine.registry.agent("support_refund").tools
    assert installation.engine.registry.root == AGENTS_FOLDER
    refund = None
    for entry in decided:
        before = [
            json.loads(row["content"])
            for row in messages
            if row["seq"] == 2
            or (row["step"] or 0, -1 if row["call"] is None else row["call"]) < (entry.step, entry.call)
        ]
        read = [message for message in before if message["role"] != "system"]
        tool = tools[entry.tool]
        assert entry.decision is not None
        arguments = entry.decision.request.context["args"]
        assert isinstance(arguments, dict)
        index = ValueIndex()
        index.read(read, ["ticket_id"], {name: dict(one.labels) for name, one in tools.items()})
        traces = index.trace(arguments, tool.free_text)
        found = {name: trace.model_dump(mode="json", exclude_defaults=True) for name, trace in traces.items()}
        assert found == entry.evidence
        if entry.tool == "payments.issue_refund":
            refund = entry
    assert refund is not None
    assert refund.evidence["order_id"]["via"] == (
        "crm.read_ticket#1 has it beside ticket_id 'TIC-2001': the event states it at data.ticket_id"
    )
