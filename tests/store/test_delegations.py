"""Delegations in a real store: who may name whom and for how long, and what of a vote counts under one."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from contracts.canonical import digest_bytes, opaque_id, run_id_for
from contracts.delegation import Delegation, NewDelegation
from contracts.vote import Delegated, Verdict, Vote
from store.accounts import disable_account, set_roles
from store.database import Database
from store.delegations import (
    MAX_AT_ONCE,
    NotDelegated,
    add_delegation,
    delegates_of_groups,
    delegators_of,
    end_delegation,
    groups_of_vote,
    list_delegations,
)
from tests.conftest import DatabaseAddresses

pytestmark = pytest.mark.req("A6", "A4")

TENANT = "acme"
PEOPLE = {
    "ann": ("leads", "finance"), "dan": ("support",), "eva": ("leads",), "root": (), "ann-admin": ("board",),
}  # fmt: skip


@pytest.fixture
async def db(module_database: DatabaseAddresses) -> AsyncGenerator[Database]:
    """A store with these people and no delegations."""
    with psycopg.connect(module_database.owner_url) as owner:
        owner.execute("truncate accounts, delegations")
        for name, groups in PEOPLE.items():
            roles = ["view", "administer"] if name == "root" else ["view", "approve"]
            owner.execute(
                "insert into accounts (tenant, username, person, display_name, password_hash, groups, roles)"
                " values (%s, %s, %s, %s, '', %s, %s)",
                (TENANT, name, name.removesuffix("-admin"), name.title(), list(groups), roles),
            )
    async with Database(module_database.url, role="countersign_app") as made:
        yield made


def in_days(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


async def named(db: Database, *, by: str = "", administers: bool = False, **changes: object) -> Delegation:
    values = {"approver": "ann", "delegate": "dan", "until_at": in_days(7), "reason": "vacation", **changes}
    new = NewDelegation.model_validate(values)
    async with db.tenant(TENANT) as cursor:
        return await add_delegation(cursor, TENANT, new, by=by or new.approver, administers=administers)


async def ended(db: Database, one: Delegation, account: str, *, administers: bool = False) -> Delegation:
    async with db.tenant(TENANT) as cursor:
        return await end_delegation(
            cursor, TENANT, one.delegation_id, account=account, person=account, administers=administers
        )


def vote_under(one: Delegation, **changes: object) -> Vote:
    now = int(datetime.now(UTC).timestamp())
    away = Delegated(delegation_id=one.delegation_id, approver=one.approver, person=one.approver, display_name="Ann")
    return Vote.model_validate(
        {
            "tenant": TENANT, "run_id": run_id_for(TENANT, "1"), "request_id": opaque_id("apr", "1"),
            "digest": digest_bytes(b""), "verdict": Verdict.APPROVE, "decision_id": opaque_id("dec", "1"),
            "issuer": "local", "subject": one.delegate, "person": one.delegate, "display_name": "Dan",
            "groups": ("leads",), "authenticated_at": now, "strength": "password", "voted_at": now,
            "expires_at": now + 600, "delegated": away, **changes,
        }
    )  # fmt: skip


async def counts(db: Database, vote: Vote) -> set[str]:
    async with db.tenant(TENANT) as cursor:
        return set(await groups_of_vote(cursor, vote))


async def test_a_delegate_is_found_while_it_is_in_force_and_not_before_or_after(db: Database) -> None:
    now, later = await named(db), await named(db, delegate="eva", from_at=in_days(1))
    assert (now.state, later.state) == ("in_force", "planned")
    async with db.tenant(TENANT) as cursor:
        assert [one.approver for one, _ in await delegators_of(cursor, TENANT, "dan")] == ["ann"]
        assert await delegators_of(cursor, TENANT, "eva") == ()
        assert await delegates_of_groups(cursor, TENANT, ("finance",)) == {"dan"}
        assert await delegates_of_groups(cursor, TENANT, ("board",)) == frozenset()
    assert (await ended(db, now, "dan")).state == "ended"
    async with db.tenant(TENANT) as cursor:
        assert await delegators_of(cursor, TENANT, "dan") == ()
        listed = await list_delegations(cursor, TENANT, past=True)
    assert [(one.delegate, one.state, one.ended_by) for one in listed] == [
        ("eva", "planned", None), ("dan", "ended", "dan"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"delegate": "ann-admin"}, "one person"),
        ({"delegate": "ann"}, "one person"),
        ({"delegate": "root"}, "role approve"),
        ({"delegate": "nobody"}, "role approve"),
        ({"approver": "root", "by": "dan", "administers": True}, "role approve"),
        ({"until_at": in_days(61)}, "at most 60 days"),
        ({"until_at": in_days(-1)}, "before it begins"),
        ({"from_at": in_days(5), "until_at": in_days(4)}, "before it begins"),
        ({"from_at": in_days(400), "until_at": in_days(401)}, "within 366 days"),
        ({"reason": " x "}, "say why"),
        ({"by": "eva"}, "takes the role administer"),
        ({"by": "dan", "administers": True}, "nobody takes a delegation for themselves"),
    ],
)
async def test_what_nobody_may_name(db: Database, changes: dict[str, object], said: str) -> None:
    with pytest.raises(NotDelegated, match=said):
        await named(db, **changes)  # pyright: ignore[reportArgumentType] - by and administers are among them
    async with db.tenant(TENANT) as cursor:
        assert await list_delegations(cursor, TENANT, past=True) == ()


async def test_an_administrator_names_one_for_somebody_who_is_gone(db: Database) -> None:
    made = await named(db, by="root", administers=True)
    assert (made.approver, made.delegate, made.created_by) == ("ann", "dan", "root")
    with pytest.raises(NotDelegated, match="somebody else's"):
        await ended(db, made, "eva")
    assert (await ended(db, made, "root", administers=True)).ended_by == "root"


async def test_nobody_is_named_who_is_away_as_well_and_not_too_many(db: Database) -> None:
    await named(db, approver="dan", delegate="eva", until_at=in_days(3))
    with pytest.raises(NotDelegated, match="dan is away as well: eva decides for them"):
        await named(db)
    for day in range(MAX_AT_ONCE):
        await named(db, from_at=in_days(4 + day), until_at=in_days(5 + day))
    with pytest.raises(NotDelegated, match="end one first"):
        await named(db, delegate="eva")


async def test_there_are_no_chains(db: Database) -> None:
    await named(db)
    second = await named(db, approver="dan", delegate="eva")
    # Eva has Dan's groups, and not those that Dan has from Ann.
    assert await counts(db, vote_under(second, groups=("support", "leads", "finance"))) == {"support"}


async def test_a_vote_counts_as_the_approver_could_vote_now(db: Database) -> None:
    made = await named(db)
    vote = vote_under(made)
    assert await counts(db, vote) == {"leads", "finance"}
    for change in (
        {"subject": "eva", "person": "eva"},
        {"voted_at": vote.voted_at - 60},
        {"voted_at": int(made.until_at.timestamp()) + 1},
        {"issuer": "https://login.example"},
        {"person": "somebody"},
        {"delegated": vote.delegated and vote.delegated.model_copy(update={"approver": "eva", "person": "eva"})},
        {"delegated": vote.delegated and vote.delegated.model_copy(update={"delegation_id": "dlg-" + "a" * 26})},
    ):
        assert await counts(db, vote.model_copy(update=change)) == set(), change
    async with db.tenant(TENANT) as cursor:
        await cursor.execute("update accounts set groups = '{finance}' where username = 'ann'")
    assert await counts(db, vote) == {"finance"}
    async with db.tenant(TENANT) as cursor:
        await set_roles(cursor, TENANT, "ann", ["view"])
    assert await counts(db, vote) == set()


async def test_ended_before_its_time_it_carries_no_vote_and_a_disabled_delegate_neither(db: Database) -> None:
    made = await named(db)
    vote = vote_under(made)
    await ended(db, made, "ann")
    assert await counts(db, vote) == set()
    other = vote_under(await named(db, delegate="eva"))
    assert await counts(db, other) == {"leads", "finance"}
    async with db.tenant(TENANT) as cursor:
        await disable_account(cursor, TENANT, "eva")
    assert await counts(db, other) == set()


async def test_time_that_runs_out_takes_back_no_vote(db: Database, module_database: DatabaseAddresses) -> None:
    made = await named(db)
    vote = vote_under(made, voted_at=int(datetime.now(UTC).timestamp()))
    with psycopg.connect(module_database.owner_url) as owner:
        owner.execute(
            "update delegations set until_at = now() + interval '1 second', from_at = now() - interval '1 day'"
        )
    assert await counts(db, vote) == {"leads", "finance"}


async def test_nobody_rewrites_a_delegation(db: Database) -> None:
    made = await named(db)
    for change in ("delegate = 'eva'", "until_at = until_at + interval '1 day'", "created_by = 'eva'"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with db.tenant(TENANT) as cursor:
                await cursor.execute(f"update delegations set {change}")  # noqa: S608 - the cases above
    await ended(db, made, "ann")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with db.tenant(TENANT) as cursor:
            await cursor.execute("update delegations set ended_at = null, ended_by = null")
