"""After real runs: which effects are drawn, who may say what they were, and test requests that can do nothing."""

import re
import secrets
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, LiteralString

import pytest
import yaml

from activities.after_the_fact import look_back
from activities.decoys import NotPlanted, Planted, plant
from contracts.approval import ApprovalView
from policy.decoys import tenfold
from settings.reviews import TenantReviews, load_reviews
from store.decoys import Decoy, NewDecoy, end_stale_decoys, find_decoy, plant_decoy
from store.doubts import EffectPlace
from store.reviews import Label, Labelled, NotLabelled, Review, list_reviews, write_label
from tests.approvals.conftest import office_at, sign_in
from tests.approvals.scene import Person
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import PASSWORD, TENANT, Installation, installed
from tests.operating import switch_on
from workers.sweeper import Sweeper

SMALL, ONE_LEAD = "TIC-2001", "TIC-2006"
ALL_TIERS = {"tiers": [1, 2, 3], "rate": 0.0, "first": 20, "tests": {"support-leads": 1}}


@pytest.fixture
async def watched(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path],
) -> AsyncGenerator[Installation]:  # fmt: skip
    """An installation whose effects are all looked at again."""
    file = tmp_path / "reviews.yaml"
    file.write_text(yaml.safe_dump({"tenants": {TENANT: ALL_TIERS}}))
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0], reviews_file=file
    ) as made:
        yield made


async def queue(installation: Installation) -> tuple[Review, ...]:
    async with installation.db.tenant(TENANT) as cursor:
        return await list_reviews(cursor, TENANT)


async def say(
    installation: Installation, review: Review, who: str, said: Label, *groups: str
) -> Labelled | NotLabelled:
    place = EffectPlace(TENANT, review.run_id, review.step, review.call)
    async with installation.db.tenant(TENANT) as cursor:
        return await write_label(cursor, place, said, person=who, username=who, groups=groups)


async def rows(installation: Installation, statement: LiteralString, *values: str) -> list[dict[str, Any]]:
    async with installation.db.tenant(TENANT) as cursor:
        await cursor.execute(statement, values)
        return await cursor.fetchall()


@pytest.mark.req("A9")
async def test_what_ran_alone_is_drawn_once_and_labelled_by_somebody_else(watched: Installation) -> None:
    handle = await watched.start({"ticket_id": SMALL}, on_behalf_of=None)
    await handle.result()
    assert (await look_back(watched.engine, TENANT)).drawn == 0  # too young: an earlier transaction may still commit
    assert (await look_back(watched.engine, TENANT, lag_s=0)).drawn > 0
    assert (await look_back(watched.engine, TENANT, lag_s=0)).drawn == 0
    refund = next(review for review in await queue(watched) if review.tool == "payments.issue_refund")
    assert (refund.run_id, refund.because, refund.agent) == (handle.id, "first", "support_refund")
    owner = next(name for name in refund.barred if "-" in name)
    barred = await say(watched, refund, "paula", Label(label="right"), owner)
    assert isinstance(barred, NotLabelled)
    assert barred.code == "barred"
    bare = await say(watched, refund, "paula", Label(label="wrong", note="The order was never late."))
    assert isinstance(bare, NotLabelled)
    assert bare.code == "expected"
    done = await say(
        watched, refund, "paula", Label(label="harmful", note="Paid twice.", expected="No refund: it was paid already.")
    )
    assert isinstance(done, Labelled)
    again = await say(watched, refund, "petra", Label(label="right"))
    assert isinstance(again, NotLabelled)
    assert again.code == "labelled"
    entries = await rows(watched, "select body from audit where run_id = %s and kind = 'reviewed'", handle.id)
    assert len(entries) == 1
    assert '"by":"paula"' in entries[0]["body"]
    assert [
        row["subject"] for row in await rows(watched, "select subject from alarms where kind = 'harmful_effect'")
    ] == [refund.key]


@pytest.mark.req("A9", "A11")
async def test_who_approved_an_effect_does_not_review_it_and_overdue_reviews_are_an_alarm(
    watched: Installation,
) -> None:
    handle = await watched.start({"ticket_id": ONE_LEAD})
    request = await watched.open_request(handle)
    await watched.vote(handle, request, "lena")
    await handle.result()
    sweeper = Sweeper(watched.engine, watched.client, lambda: [TENANT])
    await sweeper.sweep(TENANT)
    await look_back(watched.engine, TENANT, lag_s=0)
    refund = next(review for review in await queue(watched) if review.tool == "payments.issue_refund")
    assert "lena" in refund.barred
    barred = await say(watched, refund, "lena", Label(label="right"))
    assert isinstance(barred, NotLabelled)
    await rows(watched, "update effect_reviews set due_at = now() - interval '1 day' returning 1 as done")
    for _ in range(2):
        await look_back(watched.engine, TENANT, lag_s=0)
    assert len(await rows(watched, "select 1 as n from alarms where kind = 'reviews_overdue'")) == 1


@pytest.mark.req("A9")
async def test_other_tiers_and_lots_that_were_not_drawn_wait_for_nobody(watched: Installation) -> None:
    file = watched.settings.reviews_file
    file.write_text(yaml.safe_dump({"tenants": {TENANT: {**ALL_TIERS, "tiers": [4], "rate": 1.0}}}))
    await (await watched.start({"ticket_id": SMALL})).result()
    assert (await look_back(watched.engine, TENANT, lag_s=0)).drawn == 0
    file.write_text(yaml.safe_dump({"tenants": {TENANT: {**ALL_TIERS, "first": 0}}}))
    await (await watched.start({"ticket_id": "TIC-2010"})).result()
    assert (await look_back(watched.engine, TENANT, lag_s=0)).drawn == 0
    assert await queue(watched) == ()


async def planted(installation: Installation, **more: Any) -> Planted | NotPlanted:  # noqa: ANN401 - any argument
    reviews: TenantReviews = load_reviews(installation.settings.reviews_file).tenant(TENANT)
    async with installation.db.tenant(TENANT) as cursor:
        return await plant(cursor, TENANT, reviews, by="root", **more)


@pytest.fixture
async def decided(watched: Installation) -> Installation:
    """After a request that a support lead approved."""
    handle = await watched.start({"ticket_id": ONE_LEAD})
    await watched.vote(handle, await watched.open_request(handle), "lena")
    await handle.result()
    return watched


@pytest.mark.req("A11")
async def test_test_requests_are_made_of_real_ones_and_seldom(decided: Installation) -> None:
    done = await planted(decided)
    assert isinstance(done, Planted)
    (real,) = await rows(decided, "select * from approval_requests where request_id = %s", done.decoy.made_from)
    (test,) = await rows(decided, "select * from approval_requests where request_id = %s", done.decoy.request_id)
    same = ("tenant", "agent", "tool", "tier", "requirement", "interested", "step", "call", "visit")
    assert [real[name] for name in same] == [test[name] for name in same]
    spans = [(row["expires_at"] - row["opened_at"]).total_seconds() for row in (real, test)]
    assert spans[1] == pytest.approx(spans[0], abs=2)
    again = await planted(decided)
    assert isinstance(again, NotPlanted)
    assert "this week" in again.why
    async with decided.db.tenant(TENANT) as cursor:
        assert await end_stale_decoys(cursor, TENANT, withdraw=True) == 1
    assert isinstance(await planted(decided), NotPlanted)  # it counts for the week although it was withdrawn
    unnamed = await planted(decided, groups=["finance"])
    assert isinstance(unnamed, NotPlanted)
    assert "reviews.yaml" in unnamed.why


@pytest.mark.req("A11")
async def test_people_in_an_incident_are_left_alone(decided: Installation) -> None:
    done = await planted(decided)
    assert isinstance(done, Planted)
    await switch_on(decided, "tool", "payments.issue_refund")
    looked = await look_back(decided.engine, TENANT, watch_every_s=0)
    assert (looked.ended, looked.planted) == (1, 0)
    assert (await find(decided, done.decoy.request_id)).result == "withdrawn"
    stopped = await planted(decided)
    assert isinstance(stopped, NotPlanted)
    assert "left alone" in stopped.why


def shape(page: str) -> list[str]:
    """What a page is made of: tags, and headings with their words. Points of lists may differ: a fault can be found."""
    page = re.sub(r"run-[a-z2-7]{26}", "RUN", page)
    return re.findall(
        r"<h[123][^>]*>.*?</h[123]>|<(?:section|details|form|dl|ul|table|aside|button|dt)", page, re.DOTALL
    )


def figures(page: str) -> list[str]:
    """What a run has used, as its page says it."""
    return re.findall(r'<dd class="num"><strong>(.*?)</strong>', page)


@pytest.mark.req("A11")
async def test_whatever_an_approver_opens_looks_as_behind_a_real_request(watched: Installation) -> None:
    real = await watched.start({"ticket_id": ONE_LEAD})
    waiting = await watched.open_request(real)
    fault = tenfold(ApprovalView.model_validate_json(waiting.view), ())
    assert fault is not None
    async with watched.db.tenant(TENANT) as cursor:
        new = NewDecoy(view=fault.view, fault=fault.name, tell=fault.tell, by="root")
        test = await plant_decoy(cursor, waiting, new)
    (watched.settings.state_dir / "keys" / "session.secret").write_text(secrets.token_hex(32))
    async with office_at(watched.settings) as office, office.visitor() as client:
        await sign_in(client, Person("lena", ()), PASSWORD)
        for path in ("/requests/{0.request_id}", "/runs/{0.run_id}", "/runs/{0.run_id}/steps"):
            for one in (waiting, test):  # the first look is written down, and shown to the second
                await client.get(path.format(one))
            answers = [await client.get(path.format(one)) for one in (waiting, test)]
            assert [answer.status_code for answer in answers] == [200, 200], path
            assert shape(answers[0].text) == shape(answers[1].text), path
            assert figures(answers[0].text) == figures(answers[1].text), path
            assert not {waiting.request_id, waiting.run_id} & set(
                re.findall(r"(?:apr|run)-[a-z2-7]{26}", answers[1].text)
            )
    await real.terminate()


async def find(installation: Installation, request_id: str) -> Decoy:
    async with installation.db.tenant(TENANT) as cursor:
        found = await find_decoy(cursor, TENANT, request_id)
    assert found is not None
    return found


@pytest.mark.req("A11")
async def test_rubber_stamping_is_an_alarm_once_in_its_time_and_without_a_name(decided: Installation) -> None:
    watch = {"days": 7, "least": 5, "quick_s": 10}
    decided.settings.reviews_file.write_text(yaml.safe_dump({"tenants": {TENANT: {**ALL_TIERS, "watch": watch}}}))
    assert (await look_back(decided.engine, TENANT, watch_every_s=0)).alarms == 0  # one decision says nothing
    copies = """
        with more as (
            insert into approval_requests (tenant, request_id, run_id, step, call, visit, agent, tool, tier, digest,
                basis, view, requirement, interested, state, sla_at, expires_at)
            select tenant, request_id || n, run_id || n, step, call, visit, agent, tool, tier, digest, basis, view,
                requirement, interested, state, sla_at, expires_at from approval_requests, generate_series(1, 5) n
            returning request_id)
        insert into votes (tenant, decision_id, request_id, run_id, person, display_name, verdict, reason, jws, state)
        select v.tenant, v.decision_id || right(m.request_id, 1), m.request_id, v.run_id, v.person, v.display_name,
            v.verdict, v.reason, v.jws, 'accepted' from votes v, more m returning 1 as n"""
    assert len(await rows(decided, copies)) == 5
    for _ in range(2):
        assert (await look_back(decided.engine, TENANT, watch_every_s=0)).alarms == 1
    (alarm,) = await rows(decided, "select subject, detail from alarms where kind = 'rubber_stamping'")
    assert alarm["detail"]["concern"] == "quick"
    assert "lena" not in str(alarm)
    assert (await look_back(decided.engine, TENANT)).alarms == 0  # not looked at again within the hour


@pytest.mark.req("A11")
async def test_the_schedule_plants_among_real_requests_when_nobody_expects_it(decided: Installation) -> None:
    assert (await look_back(decided.engine, TENANT, watch_every_s=0)).planted == 0  # the seed is young
    await rows(decided, "update review_marks set created_at = now() - interval '20 days' returning 1 as n")
    await rows(decided, "update approval_requests set opened_at = now() - interval '2 hours' returning 1 as n")
    assert (await look_back(decided.engine, TENANT, watch_every_s=0)).planted == 0  # nobody is at it
    await rows(decided, "update approval_requests set opened_at = now() - interval '5 minutes' returning 1 as n")
    assert (await look_back(decided.engine, TENANT, watch_every_s=0)).planted == 1
    assert (await look_back(decided.engine, TENANT, watch_every_s=0)).planted == 0
    (decoy,) = await rows(decided, "select planted_by, groups from decoys")
    assert decoy == {"planted_by": "schedule", "groups": ["support-leads"]}
