"""Who is told what, and once: of real requests, of test requests, of proposals; through a real mail server."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from activities.notify import Notifier, send_notices, tell_unattended
from contracts.agent import ApprovalTimes
from contracts.approval import Escalation, Moments
from contracts.notice import NoticeKind, SendNotices
from policy.decoys import tenfold
from settings.notify import NotifyFile, Smtp
from store.approvals import StoredRequest
from store.database import Database
from store.decoys import NewDecoy, end_stale_decoys, plant_decoy
from store.standing import propose_standing
from tests.approvals.scene import TENANT, ask, refund_view
from tests.conftest import DatabaseAddresses
from tests.notify.receivers import Mailbox, text_of
from tests.policy.test_standing import TERMS

pytestmark = pytest.mark.req("A8")
HOUR_S = 3_600


@pytest.fixture
async def db(module_database: DatabaseAddresses) -> AsyncGenerator[Database]:
    with psycopg.connect(module_database.owner_url, autocommit=True) as owner:
        owner.execute("truncate approval_requests, approval_terms, decoys, notices, standing_approvals")
    async with Database(module_database.url, role="countersign_app") as found:
        yield found


@pytest.fixture
def notifier(smtp: Smtp, tmp_path: Path) -> Notifier:
    """One channel for all: what is told twice or not at all shows."""
    channels = ({"name": "all", "kind": "email", "to": ("all@example.com",)},)
    file = NotifyFile.model_validate({"smtp": smtp, "tenants": {TENANT: channels}})
    return Notifier(file, folder=tmp_path, web_url="https://c.example")


def moments(*, to: tuple[str, ...] = ("finance", "owners")) -> Moments:
    """A request that was escalated, and is still open."""
    now = int(datetime.now(UTC).timestamp())
    return Moments(
        opened_at=now,
        sla_at=now + 1_800,
        expires_at=now + HOUR_S,
        escalations=tuple(Escalation(group="support-leads", to=one, at=now - 600) for one in to),
    )


def notice(request: StoredRequest, kind: NoticeKind, *groups: str) -> SendNotices:
    told = groups or ("support-leads",)
    return SendNotices(tenant=TENANT, run_id=request.run_id, request_id=request.request_id, kind=kind, groups=told)


def mails(mailbox: Mailbox, about: str) -> list[tuple[str, str]]:
    """Subjects and texts, without what is said of them."""
    return [
        (str(message["Subject"]), text_of(message).replace(about, "ID"))
        for _, message in mailbox.taken
        if about in text_of(message)
    ]


async def test_each_escalation_is_told_once_though_one_channel_serves_both(
    db: Database, notifier: Notifier, mailbox: Mailbox
) -> None:
    request = await ask(db, times=moments())
    for _ in range(2):  # the activity may run again
        for group in ("finance", "owners"):
            await send_notices(notifier, db, notice(request, NoticeKind.ESCALATED, group))
    assert [subject.partition(",")[0] for subject, _ in mails(mailbox, request.request_id)] == [
        "Escalated to finance",
        "Escalated to owners",
    ]
    assert len({str(message["Message-ID"]) for _, message in mailbox.taken}) == 2, "or mail programs drop the second"


@pytest.mark.req("A11")
async def test_what_is_told_of_a_test_request_is_what_is_told_of_a_real_one(
    db: Database, notifier: Notifier, mailbox: Mailbox, module_database: DatabaseAddresses
) -> None:
    real = await ask(db, times=moments())
    fault = tenfold(refund_view(real.run_id), ())
    assert fault is not None
    async with db.tenant(TENANT) as cursor:
        new = NewDecoy(view=fault.view, fault=fault.name, tell=fault.tell, by="root")
        decoy = await plant_decoy(cursor, real, new)
    with psycopg.connect(module_database.owner_url, autocommit=True) as owner:
        owner.execute("update approval_requests set sla_at = now() - interval '1 minute'")
    for kind, groups in (
        (NoticeKind.REQUESTED, ()), (NoticeKind.REMINDER, ()), (NoticeKind.ESCALATED, ("finance",)),
        (NoticeKind.ESCALATED, ("owners",)),
    ):  # fmt: skip
        await send_notices(notifier, db, notice(real, kind, *groups))
    for _ in range(2):
        await tell_unattended(notifier, db, TENANT)
    told = mails(mailbox, decoy.request_id)
    assert len(told) == 4
    assert sorted(told) == sorted(mails(mailbox, real.request_id))
    with psycopg.connect(module_database.owner_url, autocommit=True) as owner:
        owner.execute("update decoys set expires_at = now()")
        owner.execute("update approval_requests set state = 'expired' where request_id = %s", (real.request_id,))
        assert owner.execute("select escalated_to from approval_requests").fetchall() == [(["finance", "owners"],)] * 2
        assert owner.execute("select count(*) from audit where run_id = %s", (decoy.run_id,)).fetchone() == (0,)
    async with db.tenant(TENANT) as cursor:
        await end_stale_decoys(cursor, TENANT, withdraw=False)
    await send_notices(notifier, db, notice(real, NoticeKind.EXPIRED))
    for _ in range(2):
        await tell_unattended(notifier, db, TENANT)
    told = mails(mailbox, decoy.request_id)
    assert len(told) == 5
    assert told[-1] == mails(mailbox, real.request_id)[-1]


@pytest.mark.req("A11")
async def test_a_test_request_keeps_the_distances_of_its_source(db: Database) -> None:
    now = int(datetime.now(UTC).timestamp())
    later = Moments(
        opened_at=now, sla_at=now + 600, expires_at=now + HOUR_S,
        escalations=(Escalation(group="support-leads", to="finance", at=now + 900),),
    )  # fmt: skip
    source = await ask(db, times=later)
    aged = source.model_copy(update={"read_at": datetime.fromtimestamp(source.opened_at.timestamp() + 86_400, UTC)})
    fault = tenfold(refund_view(source.run_id), ())
    assert fault is not None
    async with db.tenant(TENANT) as cursor:
        new = NewDecoy(view=fault.view, fault=fault.name, tell=fault.tell, by="root")
        await plant_decoy(cursor, aged, new)
        await cursor.execute("select basis::jsonb -> 'escalations' -> 0 -> 'at' as at from approval_requests")
        found = sorted(row["at"] for row in await cursor.fetchall())
    assert found == [now + 900, now + 900 + 86_400]


@pytest.mark.req("A7")
async def test_those_who_must_decide_a_standing_approval_are_told_and_reminded(
    db: Database, notifier: Notifier, mailbox: Mailbox, module_database: DatabaseAddresses
) -> None:
    now = int(datetime.now(UTC).timestamp())
    terms = TERMS.model_copy(
        update={"tenant": TENANT, "proposed_at": now, "decide_until": now + HOUR_S, "until": now + 2 * HOUR_S,
                "reason": "the secret plan of globex"}
    )  # fmt: skip
    async with db.tenant(TENANT) as cursor:
        await propose_standing(cursor, terms)
    for _ in range(2):
        await tell_unattended(notifier, db, TENANT)
    ((subject, text),) = mails(mailbox, terms.standing_id)
    assert subject.startswith("Decide by ")
    assert "https://c.example/standing/ID" in text
    assert "globex" not in text
    with psycopg.connect(module_database.owner_url, autocommit=True) as owner:
        owner.execute("update standing_approvals set proposed_at = now() - interval '2 hours'")
    for _ in range(2):
        await tell_unattended(notifier, db, TENANT)
    assert mails(mailbox, terms.standing_id)[1][0].startswith("Overdue, ends ")
    with psycopg.connect(module_database.owner_url, autocommit=True) as owner:
        owner.execute("truncate notices")
        owner.execute("update standing_approvals set state = 'granted'")
    await tell_unattended(notifier, db, TENANT)
    assert len(mails(mailbox, terms.standing_id)) == 2, "decided meanwhile"


async def test_only_channels_of_those_who_decide_hear_of_a_proposal(
    db: Database, smtp: Smtp, mailbox: Mailbox, tmp_path: Path
) -> None:
    asked = tuple(need.group for need in TERMS.rung.needs)
    channels = [
        {"name": name, "kind": "email", "to": (f"{name}@example.com",), "groups": groups}
        for name, groups in (("asked", asked), ("others", ("nobody",)))
    ]
    file = NotifyFile.model_validate({"smtp": smtp, "tenants": {TENANT: channels}})
    now = int(datetime.now(UTC).timestamp())
    terms = TERMS.model_copy(
        update={"tenant": TENANT, "proposed_at": now, "decide_until": now + HOUR_S, "until": now + 2 * HOUR_S}
    )
    async with db.tenant(TENANT) as cursor:
        await propose_standing(cursor, terms)
    await tell_unattended(Notifier(file, folder=tmp_path, web_url="https://c.example"), db, TENANT)
    assert [to for to, _ in mailbox.taken] == [["asked@example.com"]]


async def test_two_sweepers_at_once_tell_people_once(db: Database, notifier: Notifier, mailbox: Mailbox) -> None:
    request = await ask(db, times=ApprovalTimes())
    fault = tenfold(refund_view(request.run_id), ())
    assert fault is not None
    async with db.tenant(TENANT) as cursor:
        decoy = await plant_decoy(
            cursor, request, NewDecoy(view=fault.view, fault=fault.name, tell=fault.tell, by="root")
        )
    await asyncio.gather(*(tell_unattended(notifier, db, TENANT) for _ in range(4)))
    assert len(mails(mailbox, decoy.request_id)) == 1
