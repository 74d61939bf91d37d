"""A check before a call, in whole runs: asked for by policy, made once, recorded, paid for; and what a denial does."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from contracts.approval import ApprovalView
from contracts.audit import CheckMade
from contracts.base import JsonObject
from contracts.outcome import Outcome, OutcomeReason, RunReport
from contracts.vote import Verdict, VoteAccepted
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import TENANT, Installation, installed
from tests.workflows.test_choices import next_request
from tests.workflows.variants import agents_with

pytestmark = pytest.mark.req("P9", "P10")

POLICY = """
@id("support-refund-checked")
@reason("A second look at every refund comes first.")
forbid (principal, action == Action::"payments.issue_refund", resource)
when { principal.name == "support_refund" }
unless { context.checked.contains("%s") };
"""
FUNCTION = '''

def owed_at_most(facts: CheckFacts) -> CheckVerdict:
    """Whether no more is refunded than the order's record says was paid."""
    paid = max((one.output["total_minor"] for one in facts.outputs if one.tool == "orders.get_status"), default=0)
    asked = facts.arguments["amount_minor"]
    if facts.event.get("mode") == "raise":
        raise RuntimeError(facts.event)
    most = min(paid, facts.event.get("most", paid))
    return CheckVerdict(passed=asked <= most, reason=f"{asked} asked, {paid} paid.")
'''
READ = {"tool": "crm.read_ticket", "why": "To see.", "arguments": {"ticket_id": "{event.data.ticket_id}"}}
ORDER = {"tool": "orders.get_status", "why": "To see.", "arguments": {"order_id": "{crm.read_ticket.order_id}"}}
REFUND = {
    "tool": "payments.issue_refund",
    "why": "The mugs are broken.",
    "arguments": {
        "order_id": "{crm.read_ticket.order_id}", "amount_minor": 2490, "currency": "EUR",
        "reason_code": "damaged_item", "ticket_id": "{event.data.ticket_id}",
    },
}  # fmt: skip


def said(verdict: str, arguments: JsonObject) -> dict[str, Any]:
    call = {"tool": "verdict", "why": "asked", "arguments": arguments}
    return {"name": verdict, "when": {"where": {"event.started_by.verdict": verdict}}, "say": {"calls": [call]}}


SCRIPT: dict[str, Any] = {
    "rules": [
        said("yes", {"passed": True, "reason": "Nothing speaks against it."}),
        said("no", {"passed": False, "reason": "The box was not shown."}),
        said("odd", {"passed": "perhaps", "reason": "Hm."}),
        {
            "name": "prose",
            "when": {"where": {"event.started_by.verdict": "prose"}},
            "raw": {"text": "I approve.", "stop": "end_turn"},
        },
        {"name": "read", "when": {"not_called": "crm.read_ticket"}, "say": {"calls": [READ]}},
        {"name": "order", "when": {"not_called": "orders.get_status"}, "say": {"calls": [ORDER]}},
        {"name": "refund", "when": {"not_called": "payments.issue_refund"}, "say": {"calls": [REFUND]}},
        {"name": "end", "finish": {"result": "hand_over", "summary": "Over.", "needed": "Look."}},
    ]
}
Scene = Callable[..., AbstractAsyncContextManager[Installation]]


@pytest.fixture
def scene(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> Scene:  # fmt: skip
    @asynccontextmanager
    async def made(check: str, script: dict[str, Any] = SCRIPT, **changes: object) -> AsyncGenerator[Installation]:
        agents = agents_with(
            tmp_path, script, version=2,
            checks={"second-look": {"prompt": "check.md"}, "sums": {"function": "owed_at_most"}}, **changes,
        )  # fmt: skip
        folder = agents / "support_refund"
        (folder / "check.md").write_text("You check refunds for the support desk. Be strict.\n")
        with (folder / "policy.cedar").open("a") as policy:
            policy.write(POLICY % check)
        tools = (folder / "tools.py").read_text()
        imports = "from contracts.check import CheckFacts, CheckVerdict\n"
        (folder / "tools.py").write_text(
            tools.replace("from contracts.base", imports + "from contracts.base", 1) + FUNCTION
        )
        async with installed(
            tmp_path, database.url, temporal_address, backoffice, credential_key[0], agents_dir=agents
        ) as installation:
            assert installation.engine.registry.broken == {}
            yield installation

    return made


async def ran(installation: Installation, **data: object) -> tuple[RunReport, list[CheckMade]]:
    handle = await installation.start({"ticket_id": "TIC-2001", **data})  # pyright: ignore[reportArgumentType] - plain JSON values
    return await handle.result(), await checks_of(installation, handle.id)


async def checks_of(installation: Installation, run_id: str) -> list[CheckMade]:
    async with installation.db.tenant(TENANT) as cursor:
        await cursor.execute("select body from audit where run_id = %s and kind = 'checked' order by seq", (run_id,))
        return [CheckMade.model_validate_json(row["body"]) for row in await cursor.fetchall()]


async def test_a_second_model_looks_first_and_its_no_denies(scene: Scene) -> None:
    async with scene("second-look") as installation:
        report, made = await ran(installation, verdict="no")
        assert installation.refunds() == []
        assert report.outcome is Outcome.ESCALATED
        assert "The box was not shown." in report.model_dump_json()
        assert [(one.check, one.passed, one.served_model) for one in made] == [
            ("second-look", False, "scripted:script.yaml")
        ]
        for verdict in ("odd", "prose"):
            _, made = await ran(installation, verdict=verdict)
            assert [one.passed for one in made] == [False]
        assert installation.refunds() == []
        report, made = await ran(installation, verdict="yes")
        assert [refund["amount_minor"] for refund in installation.refunds()] == [2490]
        assert [(one.passed, one.tool) for one in made] == [(True, "payments.issue_refund")]
        async with installation.db.tenant(TENANT) as cursor:
            await cursor.execute(
                "select tokens_used, tokens_reserved from run_state where run_id = %s", (report.run_id,)
            )
            used = await cursor.fetchone()
        assert used is not None
        assert made[0].tokens > 0
        assert used["tokens_used"] == report.totals.tokens
        assert used["tokens_reserved"] == 0


async def test_a_function_decides_on_recorded_values(scene: Scene) -> None:
    async with scene("sums") as installation:
        _, made = await ran(installation, most=100)
        assert [(one.passed, one.reason) for one in made] == [(False, "2490 asked, 4270 paid.")]
        _, made = await ran(installation, mode="raise")
        assert [(one.passed, one.reason) for one in made] == [(False, "The check failed: RuntimeError.")]
        assert installation.refunds() == []
        _, made = await ran(installation)
        assert [(one.passed, one.tokens, one.served_model) for one in made] == [(True, 0, "")]
        assert len(installation.refunds()) == 1


LARGE = {**REFUND, "arguments": {**cast("JsonObject", REFUND["arguments"]), "amount_minor": 20_000}}
"""So much that a support lead is asked, of an order of 319 EUR."""


@pytest.mark.req("A5")
@pytest.mark.parametrize(("amount_minor", "refunded"), [(10_000, [10_000]), (40_000, [])])
async def test_a_call_that_an_approver_edited_is_checked_anew(
    scene: Scene, amount_minor: int, refunded: list[int]
) -> None:
    rules = [
        {**rule, "say": {"calls": [LARGE]}} if rule["name"] == "refund" else rule
        for rule in SCRIPT["rules"]
    ]  # fmt: skip
    async with scene("sums", {"rules": rules}) as installation:
        handle = await installation.start({"ticket_id": "TIC-2006"})
        request = await installation.open_request(handle)
        arguments = {**ApprovalView.model_validate_json(request.view).arguments, "amount_minor": amount_minor}
        edited = await installation.vote(
            handle, request, "lena", verdict=Verdict.EDIT, reason="Only the lamp broke", arguments=arguments
        )
        assert isinstance(edited, VoteAccepted)
        if refunded:
            following = await next_request(installation, handle, request)
            assert isinstance(await installation.vote(handle, following, "lena"), VoteAccepted)
        report = await handle.result()
        made = await checks_of(installation, handle.id)
        assert [one.passed for one in made] == [True, bool(refunded)]
        assert f"{amount_minor} asked" in made[1].reason
        assert [refund["amount_minor"] for refund in installation.refunds()] == refunded
        assert report.outcome is Outcome.ESCALATED  # its script hands over in the end


@pytest.mark.parametrize(
    ("reaction", "outcome", "reason", "alarms"),
    [
        ("tell", Outcome.ESCALATED, OutcomeReason.HANDED_OVER, 0),
        ("escalate", Outcome.ESCALATED, OutcomeReason.DENIED, 0),
        ("stop", Outcome.FAILED_SAFE, OutcomeReason.DENIED, 0),
        ("alert", Outcome.ESCALATED, OutcomeReason.DENIED, 1),
    ],
)
async def test_an_agent_declares_what_a_denial_does(
    scene: Scene, reaction: str, outcome: Outcome, reason: OutcomeReason, alarms: int
) -> None:
    declared = {"any": "stop", "payments.issue_refund": reaction}
    async with scene("second-look", on_denied=declared) as installation:
        report, _ = await ran(installation, verdict="no")
        assert (report.outcome, report.reason) == (outcome, reason)
        assert installation.refunds() == []
        async with installation.db.tenant(TENANT) as cursor:
            await cursor.execute("select subject, detail from alarms where kind = 'call_denied'")
            rows = await cursor.fetchall()
        assert len(rows) == alarms
        for row in rows:
            assert row["detail"]["tool"] == "payments.issue_refund"
            assert "check:second-look" in row["detail"]["policies"]
