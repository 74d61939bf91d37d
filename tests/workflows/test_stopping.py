"""Stopping as people do it: by page, API and drill, with the approvals service that resumes what was halted."""

import re
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest

from approvals.switching import Refused, Released, ThrowSwitch, release, throw
from contracts.outcome import Outcome, OutcomeReason
from incidents.drill import drill
from settings.tenants import Tenant, TenantsFile
from store.accounts import NewAccount, add_account, find_account
from store.database import Database
from store.run_reads import reads_of
from store.switches import Thrown
from tests.approvals.conftest import Office, office_at
from tests.conftest import DatabaseAddresses
from tests.installation import PASSWORD, TENANT, Installation
from tests.operating import paused

SMALL, REFUND = "TIC-2001", "payments.issue_refund"
TENANTS = TenantsFile(tenants={TENANT: Tenant(name="Acme")})
_CSRF = re.compile(r'name="csrf" value="([0-9a-f]{64})"')


@pytest.fixture
async def office(installation: Installation) -> AsyncGenerator[Office]:
    """The approvals process beside the installation's worker, with somebody on call."""
    secret = installation.settings.session_secret_file
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text(secrets.token_hex(32))
    account = NewAccount(
        tenant=TENANT, username="otto", person="otto", display_name="Otto", groups=(), roles=("view", "kill")
    )
    async with installation.db.tenant(TENANT) as cursor:
        await add_account(cursor, account, PASSWORD)
    async with office_at(installation.settings) as found:
        yield found


@asynccontextmanager
async def on_call(office: Office) -> AsyncGenerator[httpx.AsyncClient]:
    """Otto's browser, which also sends his token with API requests."""
    desk = office.app.state.services.desk
    async with office.db.tenant(TENANT) as cursor:
        account = await find_account(cursor, TENANT, "otto")
    token = await desk.start(account)
    async with office.visitor(authorization=f"Bearer {token}") as client:
        client.cookies.set(desk.cookie, token)
        yield client


@pytest.mark.req("H8", "I9")
async def test_a_switch_by_page_halts_a_run_and_its_release_lets_it_go_on(
    installation: Installation, office: Office
) -> None:
    async with on_call(office) as browser:
        page = await browser.get("/stop/confirm", params={"scope": "tool", "target": REFUND})
        assert "Stop this tool?" in page.text
        csrf = _CSRF.findall(page.text)[-1]
        form = {"csrf": csrf, "scope": "tool", "target": REFUND}
        assert (await browser.post("/stop", data={**form, "reason": " "})).status_code == 422
        thrown = await browser.post("/stop", data={**form, "reason": "refunds look wrong"})
        assert thrown.status_code == 303
        number = int(thrown.headers["location"].partition("switch-")[2])
        handle = await installation.start({"ticket_id": SMALL})
        await paused(handle)
        page = await browser.get("/stop")
        assert "refunds look wrong" in page.text
        assert handle.id in page.text
        run = await browser.get(f"/runs/{handle.id}")
        assert "<h1>Halted</h1>" in run.text
        resumed = await browser.post(
            f"/api/runs/{handle.id}/orders", json={"order": {"kind": "resume"}, "reason": "now"}
        )
        assert (resumed.status_code, "still halted" in resumed.text) == (409, True)
        gone = await browser.post(f"/stop/{number}/release", data={"csrf": csrf, "reason": "a wrong report"})
        assert gone.status_code == 303
        assert (await handle.result()).outcome is Outcome.COMPLETED
        again = await browser.post(f"/stop/{number}/release", data={"csrf": csrf, "reason": "a wrong report"})
        assert (again.status_code, "already" in again.text) == (409, True)
    assert len(installation.refunds()) == 1
    async with installation.db.tenant(TENANT) as cursor:
        looks = await reads_of(cursor, TENANT, handle.id)
    assert [(look.reader, look.via) for look in looks] == [("otto", "page")]


@pytest.mark.req("H8")
async def test_orders_by_api_pause_and_end_a_run_once_each(installation: Installation, office: Office) -> None:
    handle = await installation.start({"ticket_id": "TIC-2006"})
    await installation.open_request(handle)
    async with on_call(office) as client:
        orders = f"/api/runs/{handle.id}/orders"
        press = {"order": {"kind": "pause"}, "reason": "let me look", "nonce": "one-press"}
        first, second = await client.post(orders, json=press), await client.post(orders, json=press)
        assert first.json() == second.json()
        assert first.json()["state"] == "accepted"
        end = await client.post(orders, json={"order": {"kind": "end"}, "reason": "by phone"})
        assert end.json()["state"] == "accepted"
        report = await handle.result()
        assert (report.outcome, report.reason) == (Outcome.CANCELLED, OutcomeReason.REQUESTED)
        late = await client.post(orders, json={"order": {"kind": "pause"}, "reason": "too late"})
        assert late.status_code == 409
        wrong = await client.post(
            orders, json={"order": {"kind": "resolve_unknown", "step": 1, "call": 0}, "reason": "by the wrong door"}
        )
        assert wrong.status_code == 422
        nobody = f"/api/runs/run-{'a' * 26}/orders"
        assert (await client.post(nobody, json=press)).status_code == 404


@pytest.mark.req("H8")
async def test_a_drill_under_load_admits_nothing_and_everything_settles(
    installation: Installation, office: Office
) -> None:
    async def start(number: int) -> str:
        return (await installation.start({"ticket_id": SMALL}, event_id=f"drill-{number}")).id

    async def on() -> Thrown:
        asked = ThrowSwitch(scope="agent", target="support_refund", reason="a drill")
        thrown = await throw(installation.db, TENANTS, tenant=TENANT, by="otto", asked=asked)
        assert isinstance(thrown, Thrown)
        return thrown

    async def off(switch_id: int) -> None:
        assert isinstance(
            await release(
                installation.db, TENANTS, tenant=TENANT, by="otto", switch_id=switch_id, reason="the drill is over"
            ),
            Released,
        )

    report = await drill(installation.db, TENANT, start=start, throw=on, release=off, runs=6, wait_s=60)
    assert report.passed, report
    assert (report.admitted_after, report.models_called_after, report.sent_after) == (0, 0, 0)
    assert report.paused + report.closed_before == report.runs
    assert report.admitted_before > 0
    assert office.settings is installation.settings


@pytest.mark.req("P11", "H8")
async def test_operators_of_one_tenant_stop_and_release_only_their_own(database: DatabaseAddresses) -> None:
    async with Database(database.url, role="countersign_app") as db:
        two = TenantsFile(tenants={TENANT: Tenant(name="Acme"), "globex": Tenant(name="Globex")}, operators="globex")
        everything = ThrowSwitch(scope="global", reason="a drill")
        refused = await throw(db, two, tenant=TENANT, by="otto", asked=everything)
        assert isinstance(refused, Refused)
        thrown = await throw(db, two, tenant="globex", by="gil", asked=everything)
        assert isinstance(thrown, Thrown)
        for tenant, by in ((TENANT, "otto"), ("globex", "gil")):
            gone = await release(db, two, tenant=tenant, by=by, switch_id=thrown.switch_id, reason="over again")
            assert isinstance(gone, Released) == (tenant == "globex"), gone


@pytest.mark.req("H8")
@pytest.mark.parametrize(
    ("scope", "target", "reason"),
    [
        ("agent", "", "a reason"),
        ("agent", "Support", "a reason"),
        ("tool", "payments", "a reason"),
        ("run", "run-1", "a reason"),
        ("tenant", "acme", "a reason"),
        ("agent", "support_refund", " x "),
    ],
)
async def test_a_switch_that_would_stop_nothing_is_refused(scope: str, target: str, reason: str) -> None:
    asked = ThrowSwitch.model_validate({"scope": scope, "target": target, "reason": reason})
    nowhere = Database("postgresql://localhost:1/none", role="nobody")  # it is not even asked
    assert isinstance(await throw(nowhere, TENANTS, tenant=TENANT, by="otto", asked=asked), Refused)
