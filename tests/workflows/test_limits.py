"""Limits in whole runs: circles, raises, drafts, days, rates, cut-off tools, destinations, reads served again."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from approvals.run_limits import limits_of_run
from contracts.outcome import Outcome, OutcomeReason, RunReport
from contracts.vote import Verdict, VoteAccepted
from store.limits import day_usage, list_breakers, run_usage
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import TENANT
from tests.workflows.clerk import Clerk, clerks
from tests.workflows.variants import MAY_CIRCLE

Install = Callable[..., AbstractAsyncContextManager[Clerk]]


@pytest.fixture
def install(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> Install:  # fmt: skip
    def installing(**changes: object) -> AbstractAsyncContextManager[Clerk]:
        given: dict[str, Any] = changes
        return clerks(tmp_path, database.url, temporal_address, backoffice, credential_key[0], **given)

    return installing


def ended(report: RunReport) -> tuple[Outcome, OutcomeReason]:
    return report.outcome, report.reason


@pytest.mark.req("B2")
@pytest.mark.parametrize(
    ("mode", "loops", "kind"),
    [
        ("look", {"identical": 3}, "identical: clerk.look was called 3 times"),
        ("turns", {"alternating": 2}, "alternating: two steps took turns 2 times"),
        ("flaky", {"errors": 3}, "errors: no call succeeded in 3 steps in a row"),
        ("look", {"no_news": 3}, "no_news: 3 steps in a row told nothing new"),
        ("mixed", {"no_progress": 4}, "no_progress: 4 steps in a row neither did nor learnt"),
    ],
)
async def test_a_circle_is_told_once_and_then_ends_the_run(
    install: Install, mode: str, loops: dict[str, int], kind: str
) -> None:
    patient = {"breaker": {"failures": 1_000}}
    async with install(limits={"loops": {**MAY_CIRCLE, **loops}}, of_tenant=patient) as clerk:
        clerk.fails["flaky"] = 1_000
        report = await clerk.run(mode)
        row, told = await clerk.row(report.run_id), await clerk.told(report.run_id)
        warnings = await clerk.entries(report.run_id, "limits")
    assert ended(report) == (Outcome.ESCALATED, OutcomeReason.LOOP)
    assert row["detail"].startswith(kind)
    assert [words for words in told if words.startswith("You are going in circles")]
    assert [entry["what"] for entry in warnings] == ["loop_warning"]
    assert report.content.packet is not None
    assert kind.partition(": ")[2] in report.content.packet.why


@pytest.mark.req("B1")
async def test_people_raise_a_limit_once_and_deny_it_the_next_time(install: Install) -> None:
    async with install(limits={"tool_calls": 2, "on_exceeded": "ask", "loops": MAY_CIRCLE}) as clerk:
        handle = await clerk.start("pay")
        request = await clerk.installation.open_request(handle)
        assert (request.tool, request.tier) == ("limits.raise", 3)
        assert '"after":{"limit":3,"used":2}' in request.view
        assert isinstance(await clerk.installation.vote(handle, request, "lena"), VoteAccepted)
        again = await clerk.installation.open_request(handle)
        assert again.request_id != request.request_id
        await clerk.installation.vote(handle, again, "lena", verdict=Verdict.DENY, reason="That is enough")
        report: RunReport = await handle.result()
        row, usage = await clerk.row(report.run_id), await run_usage(clerk.installation.db, TENANT, report.run_id)
    assert ended(report) == (Outcome.ESCALATED, OutcomeReason.LIMIT_REACHED)
    assert row["detail"] == "limit tool_calls: people denied a raise"
    assert report.totals.tool_calls == clerk.calls["pay"] == 3
    assert usage is not None
    assert usage.limit_changes == {"tool_calls": 1}


@pytest.mark.req("B1")
async def test_a_model_call_waits_for_a_raise_too(install: Install) -> None:
    async with install(limits={"steps": 2, "on_exceeded": "ask", "loops": MAY_CIRCLE}) as clerk:
        handle = await clerk.start("look")
        request = await clerk.installation.open_request(handle)
        await clerk.installation.vote(handle, request, "lena")
        again = await clerk.installation.open_request(handle)
        await clerk.installation.vote(handle, again, "lena", verdict=Verdict.DENY, reason="That is enough")
        report: RunReport = await handle.result()
    assert report.totals.steps == 3
    assert ended(report) == (Outcome.ESCALATED, OutcomeReason.LIMIT_REACHED)


@pytest.mark.req("B1")
async def test_the_last_fifth_is_for_drafts(install: Install) -> None:
    async with install(limits={"tool_calls": 5, "on_exceeded": "draft_only", "loops": MAY_CIRCLE}) as clerk:
        report = await clerk.run("pay")
        told = await clerk.told(report.run_id)
    assert ended(report) == (Outcome.COMPLETED, OutcomeReason.DONE)
    assert (clerk.calls["pay"], clerk.calls["draft"]) == (4, 1)
    assert report.totals.tool_calls == 5
    assert [words for words in told if "From now on only reads and drafts" in words]


@pytest.mark.req("B1")
async def test_an_exhausted_day_ends_runs_clearly_and_shows(install: Install) -> None:
    async with install(of_tenant={"agents": {"clerk": {"tool_calls": 3}}}, limits={"loops": MAY_CIRCLE}) as clerk:
        reports = [await clerk.run("pay"), await clerk.run("pay")]
        details = [(await clerk.row(report.run_id))["detail"] for report in reports]
        usage = await day_usage(clerk.installation.db, TENANT, "UTC")
    assert {ended(report) for report in reports} == {(Outcome.ESCALATED, OutcomeReason.LIMIT_REACHED)}
    assert details == ["limit agent_day.tool_calls"] * 2
    assert clerk.calls["pay"] == 3
    (of_agent,) = [counter for counter in usage.counters if counter.scope == "agent"]
    assert (of_agent.tool_calls, usage.held) == (3, {})
    packet = reports[1].content.packet
    assert packet is not None
    assert "countersign limits show" in packet.needed


@pytest.mark.req("B1", "T6")
async def test_a_days_money_is_never_passed(install: Install) -> None:
    async with install(of_tenant={"day": {"money_minor": {"EUR": 1_700}}}, limits={"loops": MAY_CIRCLE}) as clerk:
        report = await clerk.run("pay")
        row = await clerk.row(report.run_id)
    assert row["detail"] == "limit tenant_day.money.EUR"
    assert clerk.calls["pay"] == 3


@pytest.mark.req("P3", "T6")
@pytest.mark.parametrize("condition", ["context.calls_today >= 4", "context.money_today_minor > 1500"])
async def test_a_policy_over_the_day_holds_for_runs_side_by_side(install: Install, condition: str) -> None:
    policy = f"""
@id("clerk-day")
@reason("That is enough for today.")
forbid (principal, action == Action::"clerk.pay", resource) when {{ principal.name == "clerk" && {condition} }};
"""
    async with install(policy=policy) as clerk:
        reports = await asyncio.gather(*(clerk.run("pay") for _ in range(4)))
        told = [await clerk.told(report.run_id) for report in reports]
    assert clerk.calls["pay"] == 4
    assert all(any("That is enough for today. (clerk-day)" in words for words in each) for each in told)


@pytest.mark.req("T6", "B3")
async def test_a_tool_without_answers_is_cut_off_and_waited_for(install: Install) -> None:
    breaker = {"failures": 2, "of_last": 5, "window_s": 600, "open_s": 1}
    async with install(of_tenant={"breaker": breaker}) as clerk:
        clerk.fails["flaky"] = 2
        report = await clerk.run("flaky")
        decided = await clerk.entries(report.run_id, "decided")
        waits = [entry for entry in decided if entry.get("status") == "retry_after"]
        usage = await run_usage(clerk.installation.db, TENANT, report.run_id)
        shown = await limits_of_run(clerk.installation.db, TENANT, report.run_id)
        breakers = await list_breakers(clerk.installation.db, TENANT)
        async with clerk.installation.db.tenant(TENANT) as cursor:
            await cursor.execute("select kind from alarms where subject = 'clerk.flaky' order by alarm_id")
            alarms = [row["kind"] for row in await cursor.fetchall()]
    assert ended(report) == (Outcome.COMPLETED, OutcomeReason.DONE)
    assert (clerk.calls["flaky"], report.totals.tool_calls) == (3, 3)
    assert waits
    assert "cut off" in waits[0]["message"]
    assert (breakers, alarms) == ([], ["tool_cut_off", "tool_restored"])
    # Each answer that was missing took half of what was left.
    assert usage is not None
    assert usage.limit_changes["doubts"] == 2
    assert usage.limit_changes["tool_calls"] == -49 - 24
    assert shown is not None
    (calls,) = [limit for limit in shown[0] if limit.limit == "tool_calls"]
    assert (calls.used, calls.left, calls.cap) == (3, 24, 27)
    assert shown[1] == ["shrunk 2 times: each doubtful result or malformed answer took half of what was left"]


@pytest.mark.req("T6")
@pytest.mark.parametrize(("to", "sent"), [("a@example.com", 1), ("a@evil.test", 0), ("a@partner.test", 1)])
async def test_only_listed_destinations_are_reached(install: Install, to: str, sent: int) -> None:
    tools = {"clerk.send": {"destinations": ["@partner.test"], "rate_per_day": 1}}
    async with install(of_tenant={"tools": tools}) as clerk:
        report = await clerk.run("send", to=to)
        told = await clerk.told(report.run_id)
    assert clerk.calls["send"] == sent
    # What is sent once is then met by the rate of the day, which is too far off to wait for.
    assert ("rate per day" in told[-1]) if sent else (f"'{to}' is not on the list" in told[-1])
    assert ended(report) == (Outcome.ESCALATED, OutcomeReason.HANDED_OVER)


@pytest.mark.req("T8")
async def test_a_read_is_served_again_until_something_is_written(install: Install) -> None:
    async with install() as clerk:
        first = await clerk.run("recall", pay=False)
        second = await clerk.run("recall", pay=False)
        assert clerk.calls["recall"] == 1
        third = await clerk.run("recall", pay=True)
        finished = [await clerk.entries(report.run_id, "finished") for report in (first, second, third)]
    assert clerk.calls["recall"] == 2
    served = [
        [entry.get("cached_from") for entry in entries if entry["tool"] == "clerk.recall"] for entries in finished
    ]
    assert served == [[None], [first.run_id], [first.run_id, None]]
    assert all(report.outcome is Outcome.COMPLETED for report in (first, second, third))
