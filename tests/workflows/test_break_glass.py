"""An emergency in whole runs: two persons open it, it lifts what it says and nothing else, and it ends by itself."""

import time
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from temporalio.testing import TimeSkipper

from contracts.agent import Stage
from contracts.emergency import BREAK_GLASS, Emergency, Watched, WatchEmergency
from contracts.outcome import Outcome
from settings.break_glass import Scope, load_break_glass
from store.accounts import NewAccount, add_account
from store.emergencies import (
    NotAllowed,
    approve_emergency,
    end_emergency,
    lifts_now,
    list_emergencies,
    remind_review,
    request_emergency,
    review_emergency,
)
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import PASSWORD, TENANT, Installation, installed
from tests.operating import paused

pytestmark = pytest.mark.req("I4")

SCOPE = "refunds-during-incident"
REASON = "The refund queue is down and customers wait."


@pytest.fixture
async def held(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> AsyncGenerator[Installation]:  # fmt: skip
    """An installation whose agent may only read, with two more leads: mia and noa."""
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0], stage=Stage.READ_ONLY
    ) as made:
        async with made.db.tenant(TENANT) as cursor:
            for name in ("mia", "noa"):
                account = NewAccount.model_validate(
                    {"tenant": TENANT, "username": name, "person": name, "display_name": name.title(),
                     "groups": ["support-leads"], "roles": ["view", "approve"]}
                )  # fmt: skip
                await add_account(cursor, account, PASSWORD)
        yield made


def declared(installation: Installation, name: str = SCOPE) -> Scope:
    return load_break_glass(installation.settings.break_glass_file).scopes[name]


async def requested(installation: Installation, *, minutes: int = 30, **changes: object) -> Emergency:
    async with installation.db.tenant(TENANT) as cursor:
        values = {**declared(installation).model_dump(), **changes}
        return await request_emergency(cursor, TENANT, SCOPE, values, minutes=minutes, reason=REASON, person="fay")


async def approved(installation: Installation, emergency_id: str, *people: str) -> Emergency:
    found: Emergency | None = None
    for person in people:
        async with installation.db.tenant(TENANT) as cursor:
            found = await approve_emergency(cursor, TENANT, emergency_id, username=person, person=person)
    assert found is not None
    return found


async def refused(installation: Installation, emergency_id: str, person: str, *, as_person: str = "") -> str:
    with pytest.raises(NotAllowed) as refusal:
        async with installation.db.tenant(TENANT) as cursor:
            await approve_emergency(cursor, TENANT, emergency_id, username=person, person=as_person or person)
    return str(refusal.value)


async def alarms(installation: Installation) -> list[str]:
    async with installation.db.tenant(TENANT) as cursor:
        await cursor.execute("select kind from alarms where kind like 'break_glass%%' order by alarm_id")
        return [row["kind"] for row in await cursor.fetchall()]


async def refunds_after_a_run(installation: Installation) -> int:
    handle = await installation.start({"ticket_id": "TIC-2001"})
    report = await handle.result()
    assert report.outcome in (Outcome.COMPLETED, Outcome.ESCALATED)
    return len(installation.refunds())


async def test_it_lifts_the_stage_for_its_minutes_and_for_its_tool_alone(held: Installation) -> None:
    assert await refunds_after_a_run(held) == 0
    asked = await requested(held)
    assert await refunds_after_a_run(held) == 0, "a request lifts nothing"
    assert (await approved(held, asked.emergency_id, "lena")).state == "requested"
    assert await refunds_after_a_run(held) == 0, "one person lifts nothing"
    opened = await approved(held, asked.emergency_id, "mia")
    assert opened.state == "open"
    assert await refunds_after_a_run(held) == 1
    assert held.backoffice.books(TENANT)["drafts"] == [], "another tool is held as before"
    async with held.db.tenant(TENANT) as cursor:
        await cursor.execute(
            "select body from audit where kind = 'decided' and body like '%%\"break_glass\":[\"stage\"]%%'"
        )
        assert await cursor.fetchall(), "the decision says what lifted it"
        await end_emergency(cursor, TENANT, asked.emergency_id, person="noa")
    held.backoffice.admin("POST", "/reset")
    assert await refunds_after_a_run(held) == 0
    assert await alarms(held) == ["break_glass_requested", "break_glass_opened", "break_glass_ended"]


async def test_it_lifts_no_wall(held: Installation) -> None:
    """The table of the base policy holds every wall against every lift; this shows it in whole runs."""
    asked = await requested(held)
    await approved(held, asked.emergency_id, "lena", "mia")
    for change in ("enabled = false", "enabled = true, stage = 'off'", "stage = 'read_only', tier_ceiling = 1"):
        async with held.db.tenant(TENANT) as cursor:
            await cursor.execute(f"update agent_states set {change}")  # noqa: S608 - texts of this list
        handle = await held.start({"ticket_id": "TIC-2001"})
        if "false" in change:
            await paused(handle)  # a disabled agent's run waits for an operator
            await handle.cancel()
        await handle.result()
        assert held.refunds() == [], change


async def test_a_scope_that_is_no_longer_declared_lifts_nothing(held: Installation, tmp_path: Path) -> None:
    asked = await requested(held, lifts=["stage", "approval"])
    await approved(held, asked.emergency_id, "lena", "mia")
    async with held.db.tenant(TENANT) as cursor:
        assert await lifts_now(cursor, TENANT, "support_refund", "payments.issue_refund") == {
            SCOPE: ["stage", "approval"]
        }
        assert await lifts_now(cursor, TENANT, "support_refund", "tickets.set_status") == {}
        assert await lifts_now(cursor, TENANT, "another", "payments.issue_refund") == {}
    file = tmp_path / "none.yaml"
    file.write_text("scopes: {}\n")
    held.engine.settings = held.settings.model_copy(update={"break_glass_file": file})
    assert await refunds_after_a_run(held) == 0


async def test_who_may_open_and_review_it(held: Installation) -> None:
    asked = await requested(held)
    key = asked.emergency_id
    with pytest.raises(NotAllowed, match="requested or open already"):
        await requested(held)
    with pytest.raises(NotAllowed, match="at most 30"):
        await requested(held, minutes=31)
    assert "not of that group" in await refused(held, key, "finn")
    assert "cannot approve it" in await refused(held, key, "lena", as_person="FAY")
    await approved(held, key, "lena")
    assert "nobody counts twice" in await refused(held, key, "mia", as_person="Lena")
    opened = await approved(held, key, "mia")
    assert opened.approved_by == ("lena", "mia")
    assert "it is open" in await refused(held, key, "noa")
    with pytest.raises(NotAllowed, match="it is open"):
        async with held.db.tenant(TENANT) as cursor:
            await review_emergency(cursor, TENANT, key, person="noa", note="It was right to do so.")
    async with held.db.tenant(TENANT) as cursor:
        await end_emergency(cursor, TENANT, key, person="noa")
    for person in ("fay", "lena", "Mia"):
        with pytest.raises(NotAllowed, match="does not review"):
            async with held.db.tenant(TENANT) as cursor:
                await review_emergency(cursor, TENANT, key, person=person, note="It was right to do so.")
    async with held.db.tenant(TENANT) as cursor:
        assert [one.state for one in await list_emergencies(cursor, TENANT)] == ["ended"]
        assert (await remind_review(cursor, TENANT, key)) is not None
        done = await review_emergency(cursor, TENANT, key, person="noa", note="One refund, as it had to be.")
        assert (done.state, done.reviewed_by) == ("reviewed", "noa")
        assert await list_emergencies(cursor, TENANT) == []
    assert (await alarms(held))[-1] == "break_glass_unreviewed"


async def test_time_ends_it_without_any_timer_and_the_timer_says_so(held: Installation) -> None:
    asked = await requested(held)
    await approved(held, asked.emergency_id, "lena", "mia")
    async with held.db.tenant(TENANT) as cursor:
        await cursor.execute("update emergencies set expires_at = now() - interval '1 second'")
    assert await refunds_after_a_run(held) == 0, "policy asks the store's clock"
    async with held.db.tenant(TENANT) as cursor:
        assert [one.state for one in await list_emergencies(cursor, TENANT)] == ["open"]


async def test_the_timer_ends_it_and_reminds_until_it_is_reviewed(held: Installation) -> None:
    """With time skipped: half an hour, then days without a review."""
    asked = await requested(held)
    await approved(held, asked.emergency_id, "lena", "mia")
    async with held.db.tenant(TENANT) as cursor:
        await cursor.execute("update emergencies set expires_at = now()")

    async def watched(name: str) -> Watched:
        return await TimeSkipper(held.client).client.execute_workflow(
            BREAK_GLASS,
            WatchEmergency(tenant=TENANT, emergency_id=name, expires_at=int(time.time()) + 1_800),
            id=f"break-glass-{uuid.uuid4()}",
            task_queue=held.settings.temporal_task_queue,
            result_type=Watched,
        )

    assert (await watched("emg-" + "a" * 26)).state == "gone"
    assert (await watched(asked.emergency_id)).state == "ended"
    told = await alarms(held)
    assert told[:3] == ["break_glass_requested", "break_glass_opened", "break_glass_ended"]
    assert set(told[3:]) == {"break_glass_unreviewed"}
    assert len(told[3:]) > 20
    async with held.db.tenant(TENANT) as cursor:
        await review_emergency(cursor, TENANT, asked.emergency_id, person="noa", note="Nothing was refunded.")
    assert (await watched(asked.emergency_id)).state == "reviewed"
    assert await alarms(held) == told
