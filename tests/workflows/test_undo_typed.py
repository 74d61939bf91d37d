"""`countersign undo` and `countersign effects` as somebody on call types them, on real servers."""

import asyncio
import json

import pytest

from cli.main import run
from contracts.outcome import Outcome
from store.accounts import NewAccount, add_account
from tests.installation import PASSWORD, TENANT, Installation
from workflows.agent_run import AgentRun

pytestmark = pytest.mark.req("T5", "T4")


@pytest.fixture
def configured(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    settings = installation.settings
    for name, value in {
        "STATE_DIR": str(settings.state_dir),
        "DATABASE_URL": settings.database_address(),
        "TEMPORAL_ADDRESS": settings.temporal_address,
        "TEMPORAL_TASK_QUEUE": settings.temporal_task_queue,
        "PASSWORD": PASSWORD,
    }.items():
        monkeypatch.setenv(f"COUNTERSIGN_{name}", str(value))
    return installation


async def typed(*words: str) -> int:
    return await asyncio.to_thread(run, list(words))


async def people(installation: Installation) -> None:
    async with installation.db.tenant(TENANT) as cursor:
        for name, roles in (("ulla", ("view", "undo")), ("vera", ("view",))):
            account = NewAccount.model_validate(
                {"tenant": TENANT, "username": name, "person": name, "display_name": name.title(), "groups": [],
                 "roles": roles}
            )  # fmt: skip
            await add_account(cursor, account, PASSWORD)


async def test_a_run_is_undone_from_the_command_line(
    configured: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    await people(configured)
    waiting = await configured.start({"ticket_id": "TIC-2006"})
    await configured.open_request(waiting)
    assert await typed("undo", waiting.id) == 1
    assert "is not over" in capsys.readouterr().err
    handle = await configured.start({"ticket_id": "TIC-2001"})
    assert (await handle.result()).outcome is Outcome.COMPLETED

    assert await typed("undo", handle.id) == 0
    shown = capsys.readouterr().out
    assert "payments.reverse_refund" in shown
    assert "moves back EUR" in shown
    assert shown.index("tickets.set_status") < shown.index("payments.issue_refund")
    assert [refund["status"] for refund in configured.refunds()] == ["succeeded"]

    assert await typed("undo", handle.id, "--execute", "--as", f"{TENANT}/vera", "--reason", "a mistake") == 1
    assert "it needs undo" in capsys.readouterr().err
    assert await typed("undo", handle.id, "--execute", "--as", f"{TENANT}/ulla", "--reason", "a mistake", "--json") == 0
    order = json.loads(capsys.readouterr().out)
    undo = configured.client.get_workflow_handle_for(AgentRun.run, order["run_id"])
    await configured.vote(undo, await configured.open_request(undo), "lena")
    assert (await undo.result()).outcome is Outcome.COMPLETED
    assert [refund["status"] for refund in configured.refunds()] == ["reversed"]

    assert await typed("undo", handle.id) == 0
    again = capsys.readouterr().out
    assert "taken back before" in again
    assert f"ordered before: {order['run_id']} by ulla: a mistake" in again
    assert await typed("undo", handle.id, "--execute", "--as", f"{TENANT}/ulla", "--reason", "once more") == 1
    assert "nothing of it can be taken back" in capsys.readouterr().err

    assert await typed("effects", "list") == 0
    assert "nothing is in doubt" in capsys.readouterr().out
    assert await typed("effects", "list", "--all", "--run", order["run_id"]) == 0
    assert "payments.reverse_refund" in capsys.readouterr().out
    assert await typed("runs", "show", order["run_id"]) == 0
    told = capsys.readouterr().out
    assert "no model" in told
    assert handle.id in told


async def test_doubts_are_listed_by_age_and_shown(configured: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    handle = await configured.start({"ticket_id": "TIC-2001"})
    await handle.result()
    async with configured.db.tenant(TENANT) as cursor:
        await cursor.execute(
            "update effects set state = 'unknown' where run_id = %s and tool = 'payments.issue_refund'", (handle.id,)
        )
    assert await typed("effects", "list") == 0
    assert "payments.issue_refund" in capsys.readouterr().out
    async with configured.db.tenant(TENANT) as cursor:
        await cursor.execute("update effects set doubted_at = now() - interval '16 minutes' where state = 'unknown'")
    assert await typed("effects", "list", "--json") == 1
    (doubt,) = json.loads(capsys.readouterr().out)
    key = f"{doubt['run_id']}/{doubt['step']}/{doubt['call']}"
    assert await typed("effects", "show", key) == 0
    shown = capsys.readouterr().out
    assert "in doubt" in shown
    assert f"effects resolve {key}" in shown
    assert await typed("undo", handle.id, "--step", str(doubt["step"])) == 1
    assert "in doubt" in capsys.readouterr().out
    assert await typed("effects", "show", "nonsense") == 2
    assert await typed("effects", "resolve", key, "--reason", "looked") == 2
