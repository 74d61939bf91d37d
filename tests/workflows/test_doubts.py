"""Doubts on real servers: people close them and runs go on; workers ask again; runs that vanished are closed."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from temporalio.client import WorkflowExecutionStatus

from activities.reconcile import reconcile
from contracts.base import JsonObject
from contracts.call import EffectState
from contracts.outcome import Outcome, OutcomeReason
from store.accounts import NewAccount, add_account
from store.doubts import StoredEffect, effects_in, note_alarm
from store.runs import load_run
from tests.approvals.conftest import csrf_of, office_at, sign_in
from tests.approvals.scene import Person
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import PASSWORD, TENANT, Installation, installed
from tests.operating import Handle, soon
from tests.workflows.variants import agents_with
from workers.sweeper import Sweeper

SMALL = "TIC-2001"
LOST: JsonObject = {"method": "POST", "path_regex": "^/refunds$", "mode": "timeout_after_effect", "seconds": 1}
UNASKABLE: JsonObject = {"method": "GET", "path_regex": "^/effects/", "mode": "status_500_before", "times": 1_000}


def blind(folder: Path) -> Path:
    """The refund agent at a service that honours no keys and cannot be asked: its doubts are for people."""
    root = agents_with(folder)
    tools = root / "support_refund" / "tools.py"
    text = tools.read_text()
    start = text.index('name="payments.issue_refund"')
    end = text.index("async def issue_refund", start)
    part = (
        text[start:end].replace("    probe=outcome_as(Refund),\n", "").replace("    key_window_s=KEY_WINDOW_S,\n", "")
    )
    tools.write_text(text[:start] + part + text[end:])
    return root


@pytest.fixture
async def unsure(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> AsyncGenerator[Installation]:  # fmt: skip
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0], agents_dir=blind(tmp_path)
    ) as made:
        yield made


async def doubt_of(installation: Installation, handle: Handle) -> StoredEffect:
    async def look() -> StoredEffect | None:
        async with installation.db.tenant(TENANT) as cursor:
            found = await effects_in(cursor, TENANT, [EffectState.UNKNOWN], run_id=handle.id)
        return found[0] if found else None

    return await soon(look, "no doubt")


@asynccontextmanager
async def ulla(installation: Installation) -> AsyncGenerator[httpx.AsyncClient]:
    """Somebody who may close doubts, at the real approvals application."""
    secret = installation.settings.state_dir / "keys" / "session.secret"
    secret.write_text(secrets.token_hex(32))
    async with installation.db.tenant(TENANT) as cursor:
        account = NewAccount(
            tenant=TENANT, username="ulla", person="ulla", display_name="Ulla", groups=(), roles=("view", "undo")
        )
        await add_account(cursor, account, PASSWORD)
    async with office_at(installation.settings) as office, office.visitor() as client:
        body = {"tenant": TENANT, "username": "ulla", "password": PASSWORD}
        token = (await client.post("/api/sign-in", json=body)).json()["token"]
        client.headers["authorization"] = f"Bearer {token}"
        yield client


async def said(client: httpx.AsyncClient, key: str, verdict: str, **more: object) -> httpx.Response:
    body = {"verdict": verdict, "reason": "looked it up in the books", **more}
    return await client.post(f"/api/doubts/{key}/resolution", json=body)


async def resolutions(installation: Installation, run_id: str) -> list[str]:
    async with installation.db.tenant(TENANT) as cursor:
        await cursor.execute("select body from audit where run_id = %s and kind = 'resolved' order by seq", (run_id,))
        return [row["body"] for row in await cursor.fetchall()]


@pytest.mark.req("T4")
async def test_a_person_says_what_happened_and_the_run_goes_on(unsure: Installation) -> None:
    unsure.backoffice.admin("POST", "/faults", LOST)
    handle = await unsure.start({"ticket_id": SMALL})
    doubt = await doubt_of(unsure, handle)
    async with ulla(unsure) as client:
        early = await said(client, doubt.key, "did_not_happen")
        assert early.status_code == 409
        assert "may still arrive" in early.json()["detail"]
        refund = unsure.refunds()[0]
        answer = await said(
            client, doubt.key, "happened",
            output={name: refund[name] for name in (
                "refund_id", "order_id", "amount_minor", "currency", "reason_code", "ticket_id", "status", "created_at",
            )},
        )  # fmt: skip
        assert (answer.status_code, answer.json()["state"]) == (200, "succeeded"), answer.text
        assert (await handle.result()).outcome is Outcome.COMPLETED
        assert (await said(client, doubt.key, "abandon")).status_code == 409
    assert len(unsure.refunds()) == 1
    (entry,) = await resolutions(unsure, handle.id)
    assert '"how":"person"' in entry.replace(" ", "")
    assert "ulla" in entry


@pytest.mark.req("T4")
async def test_one_deed_is_refused_while_it_is_in_doubt_and_asks_once_it_was_done(unsure: Installation) -> None:
    unsure.backoffice.admin("POST", "/faults", LOST)
    first = await unsure.start({"ticket_id": SMALL})
    doubt = await doubt_of(unsure, first)
    second = await unsure.start({"ticket_id": SMALL})
    report = await second.result()
    assert report.outcome is not Outcome.COMPLETED or report.totals.effects <= 2
    async with unsure.db.tenant(TENANT) as cursor:
        await cursor.execute("select control from journal where run_id = %s and tool = %s", (second.id, doubt.tool))
        controls = [row["control"] for row in await cursor.fetchall()]
    assert len(controls) == 1
    assert "under way or in doubt" in controls[0]
    assert len(unsure.refunds()) == 1
    async with ulla(unsure) as client:
        assert (await said(client, doubt.key, "happened")).status_code == 200
    await first.result()
    third = await unsure.start({"ticket_id": SMALL})
    request = await unsure.open_request(third)
    assert request.requirement.id == "one-support-lead"
    assert len(unsure.refunds()) == 1
    await third.terminate()


@pytest.mark.req("T4", "D1")
async def test_a_run_that_was_terminated_is_closed_and_its_doubt_is_for_people(unsure: Installation) -> None:
    unsure.backoffice.admin("POST", "/faults", LOST)
    handle = await unsure.start({"ticket_id": SMALL})
    doubt = await doubt_of(unsure, handle)
    await handle.terminate("by an operator of Temporal")
    sweeper = Sweeper(unsure.engine, unsure.client, lambda: [TENANT], look_every_s=0)
    assert (await sweeper.sweep(TENANT)).closed == 1
    assert (await sweeper.sweep(TENANT)).closed == 0
    row = await load_run(unsure.db, TENANT, handle.id)
    assert row is not None
    assert (row["outcome"], row["reason"]) == (Outcome.FAILED_SAFE, OutcomeReason.RUN_GONE)
    async with ulla(unsure) as client:
        queue = (await client.get("/api/doubts")).json()
        assert [one["run_closed"] for one in queue] == [True]
        answer = await said(client, doubt.key, "did_not_happen", cannot_arrive=True)
        assert (answer.status_code, answer.json()["run_told"]) == (200, "run_over"), answer.text
    (entry,) = await resolutions(unsure, handle.id)
    assert '"said_twice":true' in entry.replace(" ", "")


@pytest.mark.req("T4", "D1")
async def test_workers_ask_again_after_the_doubt_of_a_run_that_is_over(installation: Installation) -> None:
    installation.backoffice.admin("POST", "/faults", {**LOST, "times": 100})
    installation.backoffice.admin("POST", "/faults", UNASKABLE)
    handle = await installation.start({"ticket_id": SMALL})
    doubt = await doubt_of(installation, handle)
    await handle.terminate("gone")
    assert (await handle.describe()).status is WorkflowExecutionStatus.TERMINATED
    sweeper = Sweeper(installation.engine, installation.client, lambda: [TENANT], look_every_s=0)
    assert (await sweeper.sweep(TENANT)).closed == 1
    await _due(installation)
    assert await reconcile(installation.engine, TENANT) == 1
    still = await doubt_of(installation, handle)
    assert (still.probes, still.probe_said) == (1, "unclear")
    assert await reconcile(installation.engine, TENANT) == 0  # not before its time
    installation.backoffice.admin("DELETE", "/faults")
    await _due(installation)
    assert await reconcile(installation.engine, TENANT) == 1
    async with installation.db.tenant(TENANT) as cursor:
        (known,) = await effects_in(cursor, TENANT, [EffectState.SUCCEEDED], run_id=handle.id)
    assert (known.key, known.resolved_by) == (doubt.key, "probe")
    assert known.output is not None
    assert len(installation.refunds()) == 1


@pytest.mark.req("T4", "I9")
async def test_a_doubt_is_closed_on_its_page(unsure: Installation) -> None:
    unsure.backoffice.admin("POST", "/faults", LOST)
    handle = await unsure.start({"ticket_id": SMALL})
    doubt = await doubt_of(unsure, handle)
    page = f"/doubts/{doubt.key}"
    async with ulla(unsure) as client:
        assert (await sign_in(client, Person("ulla", ()), PASSWORD)).status_code == 303
        queue = (await client.get("/doubts")).text
        assert page in queue
        shown = (await client.get(page)).text
        assert "ORD-1001" in shown
        assert "its credential is good that long" in shown
        form = {"csrf": await csrf_of(client), "reason": "nobody at the bank can tell"}
        early = await client.post(f"{page}/resolution", data={**form, "verdict": "did_not_happen"})
        assert early.status_code == 409
        assert "may still arrive" in early.text
        assert (await client.post(f"{page}/resolution", data={**form, "verdict": "abandon"})).status_code == 303
        assert "said by <bdi>ulla" in (await client.get(page)).text
        assert "Nothing is in doubt" in (await client.get("/doubts")).text
    # The run is told that nobody knows; it does not do it again.
    assert (await handle.result()).outcome is Outcome.ESCALATED
    assert len(unsure.refunds()) == 1


@pytest.mark.req("T4")
async def test_an_alarm_is_raised_once(installation: Installation) -> None:
    assert await note_alarm(installation.db, TENANT, "effect_unknown_15m", "run-x/1/0", "old")
    assert not await note_alarm(installation.db, TENANT, "effect_unknown_15m", "run-x/1/0", "old")


async def _due(installation: Installation) -> None:
    async with installation.db.tenant(TENANT) as cursor:
        await cursor.execute("update effects set next_probe_at = now() where state = 'unknown'")
