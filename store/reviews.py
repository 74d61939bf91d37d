"""Review of effects after the fact: drawing from what has settled, the queue, the label.

Drawing follows the audit chains and not the ledger: what settled stands there once, in the order of time, under an
index that is there anyway. Nothing is added to the statements that settle.
"""

import json
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal, LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from pydantic import Field, StringConstraints

from contracts.base import Record
from contracts.review import EffectReviewed, ReviewLabel
from store.database import Database
from store.doubts import EffectPlace
from store.runs import append_audit

__all__ = [
    "Chosen",
    "Cursor",
    "Label",
    "LabelResult",
    "Labelled",
    "NotLabelled",
    "Review",
    "SettledEffect",
    "draw_settled",
    "find_review",
    "list_reviews",
    "review_seed",
    "reviews_overdue",
    "seed_age",
    "write_label",
]

MAX_LISTED = 500
LAG_S = 60
"""Entries younger than this are left for the next time: a transaction that began earlier may still commit."""
_MIN_NOTE = 3
Cursor = AsyncCursor[DictRow]
Chosen = Literal["waiting", "right", "wrong", "harmful", "cannot_tell", "all"]
"""Which of the drawn effects: those that wait, those with a label, or all."""
Said = Annotated[str, StringConstraints(max_length=2_000, strip_whitespace=True, pattern=r"^[^\x00]*$")]


class SettledEffect(Record):
    """An effect that took place, as the drawing sees it."""

    run_id: str
    step: int
    call: int
    agent: str
    agent_version: int
    tool: str
    tier: int
    before: int
    """How many effects of this version of the agent were drawn as first ones."""


class Review(Record):
    """A drawn effect with what is known of it."""

    run_id: str
    step: int
    call: int
    agent: str
    agent_version: int
    tool: str
    tier: int
    because: Literal["first", "rate"]
    share: float
    """Share of such effects that was drawn."""
    drawn_at: datetime
    due_at: datetime
    label: ReviewLabel | Literal[""]
    """Empty: it waits."""
    note: str
    expected: str
    """What should have happened."""
    person: str
    """Who said so."""
    labelled_at: datetime | None
    arguments: str
    """Canonical JSON. Content."""
    output: str | None
    """JSON. Content."""
    amount_minor: int | None
    currency: str | None
    goal: str
    """The event that started the run. Content."""
    done_at: datetime
    barred: tuple[str, ...]
    """Persons, accounts and groups that may not review it: who approved it, who wanted it, who owns the agent."""
    read_at: datetime

    @property
    def key(self) -> str:
        """As the ledger has it."""
        return f"{self.run_id}/{self.step}/{self.call}"


class Label(Record):
    """What somebody says of an effect."""

    label: ReviewLabel
    note: Said = ""
    """Required for everything but `right`."""
    expected: Said = ""
    """What should have happened. Required for `wrong` and `harmful`."""


class Labelled(Record):
    """It stands, in the queue and in the run's chain."""

    kind: Literal["labelled"] = "labelled"
    review: Review


class NotLabelled(Record):
    """Nothing changed."""

    kind: Literal["not_labelled"] = "not_labelled"
    code: Literal["absent", "labelled", "barred", "note", "expected"]
    why: str


LabelResult = Annotated[Labelled | NotLabelled, Field(discriminator="kind")]

_MARK: LiteralString = """
insert into review_marks (tenant, seed) values (%s, %s) on conflict do nothing"""

# Two ordered reads of one index, merged: the oldest entries behind the mark of either kind.
_SETTLED: LiteralString = """
with mark as (select * from review_marks where tenant = %(tenant)s for update), entries as (
    (select a.run_id, a.seq, a.at, a.body from audit a, mark m where a.tenant = %(tenant)s and a.kind = 'finished'
        and a.at >= m.at and (a.at, a.run_id, a.seq) > (m.at, m.run_id, m.seq)
        and a.at <= now() - make_interval(secs => %(lag_s)s) order by a.at, a.run_id, a.seq limit %(limit)s)
    union all
    (select a.run_id, a.seq, a.at, a.body from audit a, mark m where a.tenant = %(tenant)s and a.kind = 'resolved'
        and a.at >= m.at and (a.at, a.run_id, a.seq) > (m.at, m.run_id, m.seq)
        and a.at <= now() - make_interval(secs => %(lag_s)s) order by a.at, a.run_id, a.seq limit %(limit)s)
    order by at, run_id, seq limit %(limit)s)
select a.run_id, a.seq, a.at::text as at, b.step, b.call, e.tool, r.agent, r.agent_version,
    e.state = 'succeeded' and 'succeeded' in (b.effect, b.state) as took_place,
    (select (d.body::jsonb #>> '{decision,request,context,tier}')::int from journal j
        join audit d on d.tenant = j.tenant and d.run_id = j.run_id and d.seq = j.decision_seq and d.kind = 'decided'
        where j.tenant = %(tenant)s and j.run_id = a.run_id and j.step = b.step and j.call = b.call
        order by j.visit desc limit 1) as tier
from entries a cross join lateral json_to_record(a.body::json) as b(step int, call int, effect text, state text)
    left join effects e on e.tenant = %(tenant)s and e.run_id = a.run_id and e.step = b.step and e.call = b.call
    left join runs r on r.tenant = %(tenant)s and r.run_id = a.run_id
order by a.at, a.run_id, a.seq"""

_FIRSTS: LiteralString = """
select count(*) as n from effect_reviews
where tenant = %s and agent = %s and agent_version = %s and because = 'first'"""

_DRAW: LiteralString = """
insert into effect_reviews (tenant, run_id, step, call, agent, agent_version, tool, tier, because, share, due_at)
values (%(tenant)s, %(run_id)s, %(step)s, %(call)s, %(agent)s, %(agent_version)s, %(tool)s, %(tier)s, %(because)s,
    %(share)s, now() + make_interval(days => %(due_days)s))
on conflict do nothing"""

_REVIEWS: LiteralString = """
select v.run_id, v.step, v.call, v.agent, v.agent_version, v.tool, v.tier, v.because, v.share, v.drawn_at, v.due_at,
    v.label, v.note, v.expected, v.person, v.labelled_at, e.arguments, e.output, e.amount_minor, e.currency, r.goal,
    e.updated_at as done_at, now() as read_at,
    array(select jsonb_array_elements_text(r.interested)
        union select d.body::jsonb ->> 'owner' from definitions d where d.tenant = r.tenant and d.digest = r.definition
        union select p.name from votes o cross join lateral unnest(array[o.person, o.for_person]) as p(name)
            where o.tenant = v.tenant and o.request_id = e.request_id and o.verdict = 'approve'
                and o.state = 'accepted' and p.name <> '') as barred
from effect_reviews v join effects e using (tenant, run_id, step, call) join runs r using (tenant, run_id)
where v.tenant = %(tenant)s """

Drawn = Callable[[SettledEffect, bytes], tuple[str, float] | None]
"""Why an effect is drawn, and the share of its like that is; None: it is not."""


async def review_seed(cursor: Cursor, tenant: str) -> bytes:
    """The secret by which a tenant's effects are drawn; made at the first asking."""
    await cursor.execute(_MARK, (tenant, secrets.token_bytes(32)))
    await cursor.execute("select seed from review_marks where tenant = %s", (tenant,))
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - written by the statement above
    return bytes(row["seed"])


async def seed_age(cursor: Cursor, tenant: str) -> float:
    """For how long the tenant has had a seed, in seconds: since its effects were first drawn from."""
    await cursor.execute(
        "select extract(epoch from now() - created_at) as s from review_marks where tenant = %s", (tenant,)
    )
    row = await cursor.fetchone()
    return float(row["s"]) if row else 0.0


async def draw_settled(
    db: Database, tenant: str, drawn: Drawn, *, due_days: int, limit: int = 500, lag_s: float = LAG_S
) -> tuple[int, int]:
    """Look at the next entries behind the mark. How many there were, and how many effects were drawn.

    The mark is locked meanwhile: each entry is looked at once, by whichever process comes first.
    """
    async with db.tenant(tenant) as cursor:
        seed = await review_seed(cursor, tenant)
        await cursor.execute(_SETTLED, {"tenant": tenant, "limit": limit, "lag_s": lag_s})
        rows = await cursor.fetchall()
        found = 0
        for row in rows:
            if not row["took_place"] or row["tier"] is None:
                continue
            await cursor.execute(_FIRSTS, (tenant, row["agent"], row["agent_version"]))
            firsts = await cursor.fetchone()
            effect = SettledEffect(
                **{name: row[name] for name in SettledEffect.model_fields if name != "before"},
                before=firsts["n"] if firsts else 0,
            )
            why = drawn(effect, seed)
            if why is not None:
                values = {**effect.model_dump(), "tenant": tenant, "because": why[0], "share": why[1]}
                await cursor.execute(_DRAW, {**values, "due_days": due_days})
                found += cursor.rowcount
        if rows:
            await cursor.execute(
                "update review_marks set at = %s::timestamptz, run_id = %s, seq = %s where tenant = %s",
                (rows[-1]["at"], rows[-1]["run_id"], rows[-1]["seq"], tenant),
            )
    return len(rows), found


async def list_reviews(
    cursor: Cursor, tenant: str, *, label: Chosen = "waiting", limit: int = 100
) -> tuple[Review, ...]:
    """Drawn effects: those that wait by when they are due, the others by when they were labelled, newest first."""
    wanted: LiteralString = "and v.label = '' order by v.due_at, v.run_id, v.step, v.call limit %(limit)s"
    if label == "all":
        wanted = "order by v.drawn_at desc, v.run_id, v.step, v.call limit %(limit)s"
    elif label != "waiting":
        wanted = "and v.label = %(label)s order by v.labelled_at desc, v.run_id, v.step, v.call limit %(limit)s"
    await cursor.execute(_REVIEWS + wanted, {"tenant": tenant, "label": label, "limit": min(limit, MAX_LISTED)})
    return tuple(Review.model_validate(row) for row in await cursor.fetchall())


async def find_review(cursor: Cursor, place: EffectPlace) -> Review | None:
    """One drawn effect, or None."""
    await cursor.execute(
        _REVIEWS + "and v.run_id = %(run_id)s and v.step = %(step)s and v.call = %(call)s",
        {"tenant": place.tenant, "run_id": place.run_id, "step": place.step, "call": place.call},
    )
    row = await cursor.fetchone()
    return Review.model_validate(row) if row else None


async def write_label(
    cursor: Cursor, place: EffectPlace, said: Label, *, person: str, username: str, groups: tuple[str, ...]
) -> Labelled | NotLabelled:
    """Say what an effect was: once, by somebody who had no part in it. The run's chain says so too."""
    review = await find_review(cursor, place)
    if review is None:
        return NotLabelled(code="absent", why="This effect was not drawn for review.")
    if review.label:
        return NotLabelled(code="labelled", why=f"{review.person} has said already that it was {_words(review.label)}.")
    names = {person.casefold(), username.casefold(), *(group.casefold() for group in groups)}
    if names & {name.casefold() for name in review.barred}:
        return NotLabelled(
            code="barred",
            why="You approved it, it was done for you, or the agent is yours: somebody else must review it.",
        )
    if said.label != "right" and len(said.note) < _MIN_NOTE:
        return NotLabelled(code="note", why="Say what you found, in at least three characters.")
    if said.label in ("wrong", "harmful") and len(said.expected) < _MIN_NOTE:
        return NotLabelled(code="expected", why="Say what should have happened, in at least three characters.")
    await cursor.execute(
        """update effect_reviews set label = %s, note = %s, expected = %s, person = %s, labelled_at = now()
           where tenant = %s and run_id = %s and step = %s and call = %s and label = ''""",
        (said.label, said.note, said.expected, person, place.tenant, place.run_id, place.step, place.call),
    )
    if cursor.rowcount == 0:
        return NotLabelled(code="labelled", why="Somebody else was quicker: it has its label.")
    entry = EffectReviewed(
        step=place.step, call=place.call, tool=review.tool, label=said.label, note=said.note, expected=said.expected,
        by=person,
    )  # fmt: skip
    await append_audit(cursor, place.tenant, place.run_id, "reviewed", entry.model_dump_json())
    if said.label == "harmful":
        await cursor.execute(
            "insert into alarms (tenant, kind, subject, detail) values (%s, 'harmful_effect', %s, %s)",
            (place.tenant, review.key, json.dumps({"agent": review.agent, "tool": review.tool})),
        )
    written = await find_review(cursor, place)
    assert written is not None  # noqa: S101 - read above in this transaction
    return Labelled(review=written)


async def reviews_overdue(cursor: Cursor, tenant: str) -> int:
    """How many reviews should have been done by now."""
    await cursor.execute(
        "select count(*) as n from effect_reviews where tenant = %s and label = '' and due_at < now()", (tenant,)
    )
    row = await cursor.fetchone()
    return int(row["n"]) if row else 0


def _words(label: str) -> str:
    return label.replace("_", " ")
