"""Test requests: planted among the real ones, decided like them, and answered here, because no run is behind them.

A decoy has a row in `approval_requests`, so that every page, list and notice treats it as any other. It has no run, no
ledger row, no journal. The decision on it is written here and nowhere else: no vote row, no signature, no signal, so
that there is nothing that could be carried anywhere.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.agent import ApprovalTimes
from contracts.approval import ApprovalBasis, ApprovalView
from contracts.base import Record
from contracts.canonical import digest, opaque_id
from contracts.vote import Verdict, Vote
from store.approvals import StoredRequest, find_request, open_request
from store.votes import StoredVote

__all__ = [
    "Decoy",
    "LastPlanted",
    "NewDecoy",
    "decoys_to_tell",
    "end_decoy",
    "end_stale_decoys",
    "find_decoy",
    "is_quiet",
    "list_decoys",
    "may_plant",
    "plant_decoy",
    "recent_requests",
    "were_asked_lately",
]

Cursor = AsyncCursor[DictRow]
Result = Literal["", "caught", "missed", "expired", "withdrawn"]
MAX_LISTED = 500
_WEEK = timedelta(days=7)
_SOURCES = 40
_SOURCE_AGE = timedelta(days=30)
_LOCK = 7302


class Decoy(Record):
    """A test request."""

    request_id: str
    run_id: str
    agent: str
    tool: str
    groups: tuple[str, ...]
    fault: str
    tell: str
    """What a careful look finds."""
    made_from: str
    planted_by: str
    planted_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    result: Result
    """Empty: it waits."""
    person: str
    verdict: str
    reason: str


class LastPlanted(Record):
    """When a group got its newest test request."""

    at: datetime
    ago_s: float


class NewDecoy(Record):
    """What is to be planted."""

    view: ApprovalView
    """As people will see it, but for the run, which is made up here."""
    fault: str
    tell: str
    by: str


async def is_quiet(cursor: Cursor, tenant: str) -> bool:
    """Whether nothing is stopped and no emergency is asked for or open: people in an incident are left alone."""
    await cursor.execute(
        """select not exists (select from switches where tenant in (%(tenant)s, '*') and released_at is null)
               and not exists (select from emergencies where tenant = %(tenant)s and state in ('requested', 'open'))
               as quiet""",
        {"tenant": tenant},
    )
    row = await cursor.fetchone()
    return bool(row and row["quiet"])


async def may_plant(cursor: Cursor, tenant: str, most: dict[str, int]) -> dict[str, LastPlanted | None]:
    """The groups that may get a test request now, with the time of their last one; the table is locked until commit.

    `most` says how many in a week each group gets at most. A group with one that waits gets no second.
    """
    await cursor.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", (_LOCK, tenant))
    await cursor.execute(
        """select g.name, max(d.planted_at) as last, extract(epoch from now() - max(d.planted_at)) as ago_s,
               count(*) filter (where d.planted_at > now() - %s) as lately, bool_or(d.ended_at is null) as waits
           from unnest(%s::text[]) as g(name) join decoys d on d.tenant = %s and g.name = any(d.groups)
           group by g.name""",
        (_WEEK, list(most), tenant),
    )
    known = {row["name"]: row for row in await cursor.fetchall()}
    return {
        group: LastPlanted(at=known[group]["last"], ago_s=float(known[group]["ago_s"])) if group in known else None
        for group in most
        if group not in known or (known[group]["lately"] < most[group] and not known[group]["waits"])
    }


async def recent_requests(
    cursor: Cursor, tenant: str, groups: Sequence[str], *, tool: str | None = None
) -> list[StoredRequest]:
    """Decided requests of the last weeks whose deciders are all among these groups: what decoys are made from.

    Of runs that had written nothing before: a write has a page of its own, which a test request has none of.
    """
    await cursor.execute(
        """select request_id from approval_requests r
           where tenant = %(tenant)s and state <> 'open' and call >= 0 and opened_at > now() - %(age)s
               and (%(tool)s::text is null or tool = %(tool)s)
               and not exists (select from decoys d where d.tenant = r.tenant and d.request_id = r.request_id)
               and not exists (select from jsonb_array_elements(r.requirement::jsonb -> 'needs') need
                   where need ->> 'group' <> all(%(groups)s))
               and not exists (select from effects e where e.tenant = r.tenant and e.run_id = r.run_id
                   and (e.step, e.call) < (r.step, r.call))
           order by opened_at desc, request_id limit %(limit)s""",
        {"tenant": tenant, "age": _SOURCE_AGE, "tool": tool, "groups": list(groups), "limit": _SOURCES},
    )
    ids = [row["request_id"] for row in await cursor.fetchall()]
    found = [await find_request(cursor, tenant, request_id) for request_id in ids]
    return [request for request in found if request is not None and request.is_intact()]


async def were_asked_lately(cursor: Cursor, tenant: str, group: str) -> bool:
    """Whether a real request came to this group within the hour: its people are at it anyway."""
    await cursor.execute(
        """select exists (select from approval_requests r where tenant = %(tenant)s
               and opened_at > now() - interval '1 hour'
               and not exists (select from decoys d where d.tenant = r.tenant and d.request_id = r.request_id)
               and exists (select from jsonb_array_elements(r.requirement::jsonb -> 'needs') need
                   where need ->> 'group' = %(group)s)) as asked""",
        {"tenant": tenant, "group": group},
    )
    row = await cursor.fetchone()
    return bool(row and row["asked"])


async def plant_decoy(cursor: Cursor, source: StoredRequest, new: NewDecoy) -> Decoy:
    """Put it among the requests, under a run that does not exist."""
    run_id = opaque_id("run", source.tenant, "decoy", secrets.token_hex(16))
    later_s = round((source.read_at - source.opened_at).total_seconds())
    view = new.view.model_copy(update={"run_id": run_id})
    basis = ApprovalBasis.model_validate_json(source.basis).model_copy(
        update={
            "run_id": run_id,
            "arguments_digest": digest(view.arguments),
            "resource_version": view.resource_version,
            "view_digest": digest(view),
            "escalations": tuple(
                one.model_copy(update={"at": one.at + later_s}) for one in source.opened().escalations
            ),
        }
    )
    times = ApprovalTimes(
        sla_s=round((source.sla_at - source.opened_at).total_seconds()),
        expires_s=round((source.expires_at - source.opened_at).total_seconds()),
    )
    request = await open_request(
        cursor, basis=basis, view=view, visit=source.visit, interested=source.interested, times=times
    )
    groups = sorted({need.group for need in source.requirement.needs})
    await cursor.execute(
        """insert into decoys (tenant, request_id, run_id, agent, tool, groups, fault, tell, made_from, planted_by,
               expires_at)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) returning *""",
        (
            source.tenant,
            request.request_id,
            run_id,
            request.agent,
            request.tool,
            groups,
            new.fault,
            new.tell,
            source.request_id,
            new.by,
            request.expires_at,
        ),
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - inserted by the statement above
    return _decoy(row)


async def end_decoy(cursor: Cursor, vote: Vote) -> StoredVote | Literal["ended", "real"]:
    """Take a decision that a run would count; `real`: there is a run, which must be asked.

    The first decision ends it, whatever the quorum: who approved is told at once, and nobody else is led on. Whoever
    decides at the same time waits here and finds it `ended`: what was a test never becomes a vote.
    """
    await cursor.execute(
        "select ended_at from decoys where tenant = %s and request_id = %s for update", (vote.tenant, vote.request_id)
    )
    row = await cursor.fetchone()
    if row is None:
        return "real"
    if row["ended_at"] is not None:
        return "ended"
    await cursor.execute(
        """update decoys set ended_at = now(), result = %s, person = %s, verdict = %s, reason = %s
           where tenant = %s and request_id = %s returning ended_at""",
        (
            "missed" if vote.verdict is Verdict.APPROVE else "caught",
            vote.person,
            vote.verdict.value,
            vote.reason,
            vote.tenant,
            vote.request_id,
        ),
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - locked by the statement above
    await _close(cursor, vote.tenant, [vote.request_id])
    return StoredVote(
        tenant=vote.tenant,
        decision_id=vote.decision_id,
        request_id=vote.request_id,
        run_id=vote.run_id,
        person=vote.person,
        display_name=vote.display_name,
        verdict=vote.verdict,
        reason=vote.reason,
        jws="",
        state="accepted",
        refusal=None,
        attempts=0,
        last_error="",
        cast_at=row["ended_at"],
        settled_at=row["ended_at"],
    )


async def end_stale_decoys(cursor: Cursor, tenant: str, *, withdraw: bool) -> int:
    """End those whose time is over; with `withdraw` all of them. How many there were."""
    await cursor.execute(
        """update decoys set ended_at = now(),
               result = case when expires_at <= now() then 'expired' else 'withdrawn' end
           where tenant = %s and ended_at is null and (%s or expires_at <= now()) returning request_id""",
        (tenant, withdraw),
    )
    ended = [row["request_id"] for row in await cursor.fetchall()]
    await _close(cursor, tenant, ended)
    return len(ended)


async def find_decoy(cursor: Cursor, tenant: str, request_id: str) -> Decoy | None:
    """The test request of that id; None: there is none, or it is a real one."""
    await cursor.execute("select * from decoys where tenant = %s and request_id = %s", (tenant, request_id))
    row = await cursor.fetchone()
    return _decoy(row) if row else None


async def decoys_to_tell(cursor: Cursor, tenant: str) -> tuple[Decoy, ...]:
    """Those that wait, and those that nobody decided in time, lately."""
    await cursor.execute(
        """select * from decoys where tenant = %s
               and (ended_at is null or (result = 'expired' and ended_at > now() - interval '1 hour'))
           order by planted_at, request_id""",
        (tenant,),
    )
    return tuple(_decoy(row) for row in await cursor.fetchall())


async def list_decoys(cursor: Cursor, tenant: str, limit: int = 100) -> tuple[Decoy, ...]:
    """All, newest first."""
    await cursor.execute(
        "select * from decoys where tenant = %s order by planted_at desc, request_id limit %s",
        (tenant, min(limit, MAX_LISTED)),
    )
    return tuple(_decoy(row) for row in await cursor.fetchall())


async def _close(cursor: Cursor, tenant: str, requests: Sequence[str]) -> None:
    # Void whatever was said: the state of a request that everybody can see does not tell how somebody did.
    await cursor.execute(
        """update approval_requests set state = 'voided', closed_at = now()
           where tenant = %s and request_id = any(%s) and state = 'open'""",
        (tenant, list(requests)),
    )


def _decoy(row: DictRow) -> Decoy:
    return Decoy.model_validate({name: row[name] for name in Decoy.model_fields})
