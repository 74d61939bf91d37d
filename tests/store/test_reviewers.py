"""Figures of people, what raises an alarm, and people's time: on a real store, from rows as the form writes them."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from contracts.canonical import opaque_id
from settings.reviews import Watch
from store.attention import LONGEST_SIGHT_S, note_decision, note_views, people_seconds
from store.database import Database
from store.reviewers import Figures, alarm_subject, concerns_of, figures
from tests.approvals.scene import FIONA, FRED, LENA, TENANT, TWO_FINANCE, add_people, ask
from tests.conftest import DatabaseAddresses

pytestmark = pytest.mark.req("A11")


@dataclass
class Room:
    """A store, and its owner for what only time could bring about."""

    db: Database
    owner: psycopg.Connection[Any]
    votes: int = 0

    async def seen(self, request_id: str, person: str, *, ago_s: int) -> None:
        """Somebody opened a request so long ago."""
        async with self.db.tenant(TENANT) as cursor:
            await note_views(cursor, TENANT, [request_id], person)
        self.owner.execute(
            """update request_views set first_seen_at = now() - make_interval(secs => %s),
                   last_seen_at = now() - make_interval(secs => %s) where request_id = %s and person = %s""",
            (ago_s, ago_s, request_id, person),
        )

    async def vote(self, request: Any, person: str, verdict: str = "approve") -> None:  # noqa: ANN401 - a StoredRequest
        """A vote that the run counted."""
        self.votes += 1
        self.owner.execute(
            """insert into votes (tenant, decision_id, request_id, run_id, person, display_name, verdict, reason, jws,
                   state) values (%s, %s, %s, %s, %s, %s, %s, '', '', 'accepted')""",
            (TENANT, opaque_id("dec", self.votes), request.request_id, request.run_id, person, person, verdict),
        )
        async with self.db.tenant(TENANT) as cursor:
            await note_decision(cursor, TENANT, request.request_id, request.run_id, person)

    async def figures(self, **more: Any) -> dict[str, Figures]:  # noqa: ANN401 - any argument
        async with self.db.tenant(TENANT) as cursor:
            found = await figures(cursor, TENANT, days=7, quick_s=10, **more)
        return {one.key: one for one in found}

    async def spent_s(self, run_id: str) -> int:
        async with self.db.tenant(TENANT) as cursor:
            return await people_seconds(cursor, TENANT, run_id)


@pytest.fixture
async def room(module_database: DatabaseAddresses) -> AsyncGenerator[Room]:
    with psycopg.connect(module_database.owner_url, autocommit=True) as owner:
        owner.execute("truncate accounts, approval_requests, votes, request_views, decoys, effect_reviews")
        async with Database(module_database.url, role="countersign_app") as db:
            await add_people(db, LENA, FRED, FIONA)
            yield Room(db, owner)


async def test_time_counts_from_sight_to_sight_up_to_the_decision_and_no_lunch(room: Room) -> None:
    request = await ask(room.db)
    await room.seen(request.request_id, "lena", ago_s=40)
    await room.vote(request, "lena")
    assert await room.spent_s(request.run_id) in range(40, 46)
    await room.seen(request.request_id, "lena", ago_s=500)  # looking again after the decision costs nothing more
    assert await room.spent_s(request.run_id) in range(40, 46)
    lunch = await ask(room.db, "lunch")
    await room.seen(lunch.request_id, "lena", ago_s=7_200)
    async with room.db.tenant(TENANT) as cursor:
        await note_views(cursor, TENANT, [lunch.request_id], "lena")
    assert await room.spent_s(lunch.run_id) == LONGEST_SIGHT_S
    unread = await ask(room.db, "unread")
    await room.vote(unread, "lena")
    assert await room.spent_s(unread.run_id) == 0


async def test_figures_by_person_group_and_tool(room: Room) -> None:
    for number, (fred, fiona) in enumerate((("approve", "approve"), ("approve", "deny"), ("deny", "approve"))):
        request = await ask(room.db, f"both-{number}", requirement=TWO_FINANCE)
        await room.seen(request.request_id, "fred", ago_s=30)
        await room.vote(request, "fred", fred)
        await room.vote(request, "fiona", fiona)
    alone = await ask(room.db, "alone")
    await room.seen(alone.request_id, "lena", ago_s=3)
    await room.vote(alone, "lena")
    found = await room.figures()
    fred, fiona, lena = found["fred"], found["fiona"], found["lena"]
    assert (fred.decisions, fred.approvals, fred.denials, fred.quick, fred.unseen) == (3, 2, 1, 0, 0)
    assert (fred.others, fred.agreed) == (3, 1)
    assert fred.median_s in range(30, 36)
    assert (fiona.quick, fiona.unseen, fiona.median_s) == (2, 3, None)  # approved without ever opening them
    assert (lena.others, lena.quick, lena.median_s) == (0, 1, 3)
    groups = await room.figures(by="group")
    assert {key: one.decisions for key, one in groups.items()} == {"finance": 6, "support-leads": 1}
    tools = await room.figures(by="tool")
    assert tools["payments.issue_refund"].decisions == 7
    assert set(await room.figures(only="lena")) == {"lena"}


async def test_an_approval_that_a_review_overturns_is_counted_to_who_gave_it(room: Room) -> None:
    request = await ask(room.db)
    await room.vote(request, "lena")
    room.owner.execute(
        """insert into effects (tenant, run_id, step, call, tool, tool_version, service, arguments_digest, arguments,
               natural_key, state, request_id)
           values (%s, %s, 3, 0, 'payments.issue_refund', 1, 'backoffice', '', '{}', '', 'succeeded', %s)""",
        (TENANT, request.run_id, request.request_id),
    )
    room.owner.execute(
        """insert into effect_reviews (tenant, run_id, step, call, agent, agent_version, tool, tier, because, share,
               due_at, label) values (%s, %s, 3, 0, 'support_refund', 1, 'payments.issue_refund', 3, 'rate', 1, now(),
               'wrong')""",
        (TENANT, request.run_id),
    )
    assert (await room.figures())["lena"].overturned == 1


def some(**changes: int) -> Figures:
    base = dict.fromkeys(Figures.model_fields, 0) | {"key": "lena", "median_s": None, "last_at": None}
    return Figures.model_validate({**base, **changes})


@pytest.mark.parametrize(
    ("found", "concerns"),
    [
        (some(decisions=19, approvals=19, quick=19, missed=3), ()),  # a handful says nothing
        (some(decisions=20, approvals=20, quick=9), ()),
        (some(decisions=20, approvals=20, quick=10), ("quick",)),
        (some(decisions=20, approvals=20, missed=1), ("never_denies",)),
        (some(decisions=20, approvals=19, denials=1, missed=1), ()),
        (some(decisions=40, approvals=40, quick=40, missed=2), ("quick", "never_denies")),
    ],
)
def test_what_asks_for_a_talk(found: Figures, concerns: tuple[str, ...]) -> None:
    assert concerns_of(found, Watch()) == concerns


def test_an_alarm_names_nobody() -> None:
    subject = alarm_subject(TENANT, "quick", "lena")
    assert "lena" not in subject
    assert subject == alarm_subject(TENANT, "quick", "lena") != alarm_subject(TENANT, "quick", "fred")
