"""Whatever the model does, a run ends typed, bounded and without an effect that was not allowed."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from contracts.outcome import Outcome, OutcomeReason, RunReport
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import Installation, installed
from tests.workflows.variants import agents_with, models_with

READ = {"tool": "crm.read_ticket", "why": "To see.", "arguments": {"ticket_id": "{event.data.ticket_id}"}}
RAW: dict[str, dict[str, Any]] = {
    "bad_json": {"calls": [{"tool": "crm.read_ticket", "arguments_json": '{"ticket_id": '}]},
    "not_an_object": {"calls": [{"tool": "crm.read_ticket", "arguments_json": "[1, 2]"}]},
    "unknown_tool": {"calls": [{"tool": "bank.wire_everything"}]},
    "wrong_types": {"calls": [{"tool": "crm.read_ticket", "arguments_json": '{"why": "x", "ticket_id": 7}'}]},
    "unknown_field": {
        "calls": [{"tool": "crm.read_ticket", "arguments_json": '{"why": "x", "ticket_id": "T", "admin": true}'}]
    },
    "empty": {"stop": "end_turn"},
    "words_only": {"text": "I have refunded everything.", "stop": "end_turn"},
    "enormous": {"text": "blah ", "calls": [{"tool": "crm.read_ticket"}], "repeat": 20_000},
    "huge_arguments": {
        "calls": [{"tool": "crm.read_ticket", "arguments_json": '{"ticket_id": "' + "x" * 40_000 + '"}'}]
    },
    "two_finishes": {
        "calls": [
            {"tool": "finish", "arguments_json": '{"result": "done", "summary": "a", "needed": ""}'},
            {"tool": "finish", "arguments_json": '{"result": "hand_over", "summary": "b", "needed": "c"}'},
        ]
    },
    "finish_with_call": {
        "calls": [
            {"tool": "finish", "arguments_json": '{"result": "done", "summary": "a", "needed": ""}'},
            {"tool": "crm.read_ticket", "arguments_json": '{"why": "x", "ticket_id": "TIC-2001"}'},
        ]
    },
    "cut_off": {"calls": [{"tool": "crm.read_ticket", "arguments_json": '{"tick'}], "stop": "max_tokens"},
    "deep_json": {"calls": [{"tool": "crm.read_ticket", "arguments_json": "[" * 20_000}]},
    "not_a_number": {"calls": [{"tool": "crm.read_ticket", "arguments_json": '{"ticket_id": NaN}'}]},
}


def rule(mode: str, **answer: object) -> dict[str, Any]:
    return {"name": mode, "when": {"where": {"event.data.mode": mode}}, **answer}


SCRIPT = {
    "rules": [
        *(rule(mode, raw=raw) for mode, raw in RAW.items()),
        rule("refusal", raw={"stop": "refusal", "stop_detail": "I would rather not."}),
        rule("rejected", fault="rejected"),
        rule("unavailable", fault={"kind": "unavailable", "retry_after_s": 1}),
        rule("claims", finish={"result": "done", "summary": "All refunded, trust me."}),
        rule("hands_over", finish={"result": "hand_over", "summary": "Odd.", "needed": "Look at it."}),
        {
            "name": "recovers",
            "when": {"where": {"event.data.mode": "recovers", "last.role": "user"}},
            "raw": {"calls": [{"tool": "bank.wire_everything"}]},
        },
        rule("recovers", finish={"result": "hand_over", "summary": "Corrected.", "needed": "Nothing more."}),
        rule("loops", say={"calls": [READ]}),
        rule("slow", say={"calls": [READ]}, latency_s=1.5),
    ]
}


@pytest.fixture
async def naughty(
    tmp_path: Path,
    database: DatabaseAddresses,
    temporal_address: str,
    backoffice: Server,
    credential_key: tuple[Path, Path],
) -> AsyncGenerator[Installation]:
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0],
        agents_dir=agents_with(tmp_path, SCRIPT, limits={"steps": 6, "tokens": 1_500_000}),
        models_file=models_with(tmp_path),
    ) as made:  # fmt: skip
        yield made


async def run(installation: Installation, mode: str, wait_s: int = 20) -> RunReport:
    handle = await installation.start(
        {"ticket_id": "TIC-2001", "mode": mode}, trusted=("ticket_id", "mode"), model_wait_s=wait_s, store_wait_s=wait_s
    )
    return await handle.result()


def ended(report: RunReport) -> tuple[Outcome, OutcomeReason]:
    return report.outcome, report.reason


@pytest.mark.req("B4")
async def test_malformed_output_is_corrected_a_bounded_number_of_times_then_escalated(naughty: Installation) -> None:
    reports = await asyncio.gather(*(run(naughty, mode) for mode in RAW))
    wrong = {
        mode: ended(report)
        for mode, report in zip(RAW, reports, strict=True)
        if ended(report) != (Outcome.ESCALATED, OutcomeReason.MALFORMED_OUTPUT) or report.totals.model_calls != 4
    }
    assert wrong == {}
    assert all(report.content.packet for report in reports)
    assert naughty.refunds() == []


@pytest.mark.req("D2", "D7")
async def test_every_other_misbehaviour_has_its_own_end(naughty: Installation) -> None:
    expected = {
        "refusal": (Outcome.ESCALATED, OutcomeReason.REFUSED_BY_MODEL),
        "rejected": (Outcome.ESCALATED, OutcomeReason.NO_MODEL),
        "claims": (Outcome.ESCALATED, OutcomeReason.POSTCONDITION_FAILED),
        "hands_over": (Outcome.ESCALATED, OutcomeReason.HANDED_OVER),
        "recovers": (Outcome.ESCALATED, OutcomeReason.HANDED_OVER),
        "loops": (Outcome.ESCALATED, OutcomeReason.LIMIT_REACHED),
        "unavailable": (Outcome.ESCALATED, OutcomeReason.NO_MODEL),
    }
    reports = await asyncio.gather(*(run(naughty, mode, wait_s=2) for mode in expected))
    assert {mode: ended(report) for mode, report in zip(expected, reports, strict=True)} == expected
    assert naughty.refunds() == []


@pytest.mark.req("B1")
@pytest.mark.parametrize(
    ("mode", "limits", "detail"),
    [
        ("loops", {"steps": 3}, "limit steps"),
        ("loops", {"tool_calls": 2}, "limit tool_calls"),
        ("loops", {"tokens": 6_000}, "limit tokens"),
        ("slow", {"active_s": 2}, "limit active_s"),
        ("slow", {"age_s": 2}, "limit age_s"),
        ("loops", {"usd": "0.01"}, "limit usd"),
    ],
)
async def test_a_limit_ends_the_run_as_the_agent_declares(
    tmp_path: Path,
    database: DatabaseAddresses,
    temporal_address: str,
    backoffice: Server,
    credential_key: tuple[Path, Path],
    mode: str,
    limits: dict[str, Any],
    detail: str,
) -> None:
    price = {
        "input_micros_per_mtok": 1_000_000,
        "cached_input_micros_per_mtok": 1_000_000,
        "cache_write_micros_per_mtok": 1_000_000,
        "output_micros_per_mtok": 1_000_000,
    }
    changes = {"max_output_tokens": 1_000, **({"price": price} if "usd" in limits else {})}
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0],
        agents_dir=agents_with(
            tmp_path,
            SCRIPT,
            limits={"steps": 100, "tokens": 1_500_000, "tool_calls": 100, "on_exceeded": "stop", **limits},
        ),
        models_file=models_with(tmp_path, **changes),
    ) as installation:  # fmt: skip
        report = await run(installation, mode)
        async with installation.db.tenant("acme") as cursor:
            await cursor.execute("select detail from runs where run_id = %s", (report.run_id,))
            row = await cursor.fetchone()
    assert ended(report) == (Outcome.FAILED_SAFE, OutcomeReason.LIMIT_REACHED)
    assert row is not None
    assert row["detail"] == detail
    if "tokens" in limits:
        assert report.totals.tokens <= limits["tokens"]
    if "usd" in limits:
        assert report.totals.micros <= 10_000


@pytest.mark.req("A6")
async def test_an_approval_that_nobody_answers_expires_safely(
    tmp_path: Path,
    database: DatabaseAddresses,
    temporal_address: str,
    backoffice: Server,
    credential_key: tuple[Path, Path],
) -> None:
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0],
        agents_dir=agents_with(tmp_path, approvals={"payments.issue_refund": {"sla_s": 1, "expires_s": 2}}),
    ) as installation:  # fmt: skip
        report = await (await installation.start({"ticket_id": "TIC-2006"})).result()
        assert ended(report) == (Outcome.ESCALATED, OutcomeReason.APPROVAL_EXPIRED)
        async with installation.db.tenant("acme") as cursor:
            await cursor.execute("select state from approval_requests where run_id = %s", (report.run_id,))
            assert [row["state"] for row in await cursor.fetchall()] == ["expired"]
        assert installation.refunds() == []
