"""Calls as people edited them, what people said of them before, and what their arguments have to look like."""

import json
from typing import cast

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import JsonObject, Record
from contracts.vote import Verdict
from store.database import Database
from store.journal import CallKey

__all__ = [
    "Edit",
    "SaidBefore",
    "add_edit",
    "editors_of",
    "edits_of",
    "find_schema",
    "following_request",
    "has_effect",
    "keep_schema",
    "said_before",
]

MAX_SAID = 20


class Edit(Record):
    """One edit of a call."""

    revision: int
    arguments: str
    """Canonical JSON of the arguments that hold from here on."""
    arguments_digest: str
    request_id: str
    """The request that the edit ended."""
    decision_id: str
    person: str
    for_person: str
    """For whom a delegate edited; empty where the person did it for themselves."""
    display_name: str
    reason: str
    problem: str
    """Why it could not be used: then the arguments are those before it."""


class SaidBefore(Record):
    """What ended an earlier request of the same tool in the run, in an approver's words."""

    request_id: str
    step: int
    verdict: Verdict
    person: str
    display_name: str
    reason: str
    asked: JsonObject
    """The arguments that were asked."""
    edited: JsonObject | None
    """Of an edit: the arguments that were written instead."""
    problem: str


async def edits_of(db: Database, key: CallKey, revision: int) -> tuple[Edit, ...]:
    """The edits of a call up to that one, oldest first; none are read for a call that nobody edited."""
    if not revision:
        return ()
    async with db.tenant(key.tenant) as cursor:
        await cursor.execute(
            """select revision, arguments, arguments_digest, request_id, decision_id, person, for_person,
                   display_name, reason, problem
               from call_revisions where tenant = %s and run_id = %s and step = %s and call = %s and revision <= %s
               order by revision""",
            (key.tenant, key.run_id, key.step, key.call, revision),
        )
        return tuple(Edit.model_validate(row) for row in await cursor.fetchall())


async def add_edit(cursor: AsyncCursor[DictRow], key: CallKey, edit: Edit) -> None:
    """Keep an edit. In the transaction that closes its request, so that there is one of each number."""
    values = edit.model_dump()
    await cursor.execute(
        """insert into call_revisions (tenant, run_id, step, call, revision, arguments, arguments_digest, request_id,
               decision_id, person, for_person, display_name, reason, problem)
           values (%(tenant)s, %(run_id)s, %(step)s, %(call)s, %(revision)s, %(arguments)s, %(arguments_digest)s,
               %(request_id)s, %(decision_id)s, %(person)s, %(for_person)s, %(display_name)s, %(reason)s,
               %(problem)s)""",
        {"tenant": key.tenant, "run_id": key.run_id, "step": key.step, "call": key.call, **values},
    )


async def editors_of(cursor: AsyncCursor[DictRow], key: CallKey, arguments_digest: str) -> tuple[str, ...]:
    """Persons who wrote at these arguments: who edited the call, or another of the run until it said the same."""
    await cursor.execute(
        """select distinct who.person from call_revisions e
               cross join lateral (values (e.person), (e.for_person)) as who(person)
           where e.tenant = %(tenant)s and e.run_id = %(run_id)s and e.problem = '' and who.person <> ''
               and ((e.step = %(step)s and e.call = %(call)s) or exists (
                   select from call_revisions same where same.tenant = e.tenant and same.run_id = e.run_id
                       and same.arguments_digest = %(digest)s and same.problem = ''
                       and same.step = e.step and same.call = e.call and same.revision >= e.revision))
           order by who.person limit 20""",
        {
            "tenant": key.tenant,
            "run_id": key.run_id,
            "step": key.step,
            "call": key.call,
            "digest": arguments_digest,
        },
    )
    return tuple(str(row["person"]) for row in await cursor.fetchall())


async def said_before(cursor: AsyncCursor[DictRow], tenant: str, run_id: str, tool: str) -> tuple[SaidBefore, ...]:
    """What people said to earlier requests of the tool in the run beside approvals, oldest first."""
    await cursor.execute(
        """select r.request_id, r.step, v.verdict, v.person, v.display_name, v.reason, r.view, v.edited,
               coalesce(e.problem, '') as problem
           from approval_requests r
               join votes v on v.tenant = r.tenant and v.request_id = r.request_id and v.state = 'accepted'
                   and v.verdict <> 'approve'
               left join call_revisions e on e.tenant = v.tenant and e.run_id = r.run_id
                   and e.decision_id = v.decision_id
           where r.tenant = %s and r.run_id = %s and r.tool = %s and r.state in ('denied', 'voided')
           order by r.opened_at desc, r.request_id, v.cast_at desc limit %s""",
        (tenant, run_id, tool, MAX_SAID),
    )
    rows = await cursor.fetchall()
    return tuple(
        SaidBefore.model_validate(
            {
                **{name: row[name] for name in SaidBefore.model_fields if name in row},
                "asked": _object(_object(row["view"]).get("arguments")),
                "edited": _object(row["edited"]) if row["edited"] else None,
            }
        )
        for row in reversed(rows)
    )


async def following_request(cursor: AsyncCursor[DictRow], tenant: str, request_id: str) -> str | None:
    """The next request of the same call, or of a later call of the same tool in the run; None: there is none yet."""
    await cursor.execute(
        """select n.request_id from approval_requests r join approval_requests n
               on n.tenant = r.tenant and n.run_id = r.run_id and n.tool = r.tool
               and (n.step, n.call, n.visit) > (r.step, r.call, r.visit)
           where r.tenant = %s and r.request_id = %s and (n.step > r.step or n.call = r.call)
           order by n.step, n.call, n.visit limit 1""",
        (tenant, request_id),
    )
    row = await cursor.fetchone()
    return str(row["request_id"]) if row else None


async def has_effect(cursor: AsyncCursor[DictRow], key: CallKey) -> bool:
    """Whether the call stands in the effects ledger: then its arguments stand there too, and under its key."""
    await cursor.execute(
        "select 1 from effects where tenant = %s and run_id = %s and step = %s and call = %s",
        (key.tenant, key.run_id, key.step, key.call),
    )
    return await cursor.fetchone() is not None


async def keep_schema(cursor: AsyncCursor[DictRow], tenant: str, digest: str, schema: JsonObject) -> None:
    """Keep what a tool's arguments have to look like, once."""
    await cursor.execute(
        "insert into argument_schemas (tenant, digest, body) values (%s, %s, %s) on conflict do nothing",
        (tenant, digest, json.dumps(schema)),
    )


async def find_schema(cursor: AsyncCursor[DictRow], tenant: str, digest: str) -> JsonObject | None:
    """JSON Schema of a tool's arguments, without references; None where none was kept."""
    await cursor.execute("select body from argument_schemas where tenant = %s and digest = %s", (tenant, digest))
    row = await cursor.fetchone()
    return _object(row["body"]) if row else None


def _object(value: object) -> JsonObject:
    """An object, or the one that a JSON text holds; empty where it is none: a damaged view tells nothing."""
    if isinstance(value, str):
        try:
            value = cast("object", json.loads(value))
        except ValueError:
            return {}
    return cast("JsonObject", value) if isinstance(value, dict) else {}
