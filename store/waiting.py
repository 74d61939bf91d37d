"""What waits for a person beside requests: proposals of standing approvals, and emergencies that were asked for."""

from typing import LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record
from store.approval_lists import Reader
from store.emergencies import LAPSES_S

__all__ = ["WaitingBeside", "waiting_beside"]

# Both by an index that holds few rows: the newest proposals, and the emergencies that are not over.
_WAITING: LiteralString = """
select (select count(*) from standing_approvals s
        where s.tenant = %(tenant)s and s.state = 'proposed' and s.decide_until > now()
            and s.proposed_at > now() - interval '30 days' and s.proposed_by <> all(%(names)s)
            and exists (select from jsonb_array_elements(s.terms::jsonb #> '{rung,needs}') n
                where n ->> 'group' = any(%(groups)s))
            and not exists (select from standing_votes v where v.tenant = s.tenant
                and v.standing_id = s.standing_id and v.person = %(person)s)) as standing,
    (select count(*) from emergencies e
        where e.tenant = %(tenant)s and e.state = 'requested' and e.approvers = any(%(groups)s)
            and e.requested_at > now() - make_interval(secs => %(lapses_s)s)
            and %(person)s <> all(e.approved_by || e.requested_by)) as emergencies"""


class WaitingBeside(Record):
    """How many of each wait for the reader."""

    standing: int = 0
    emergencies: int = 0


async def waiting_beside(cursor: AsyncCursor[DictRow], tenant: str, reader: Reader) -> WaitingBeside:
    """What the reader's groups may decide, who neither asked for it nor has decided. Nobody's delegate does."""
    if not reader.may_decide:
        return WaitingBeside()
    values = {
        "tenant": tenant,
        "person": reader.person,
        "names": [reader.person, reader.username],
        "groups": list(reader.groups),
        "lapses_s": LAPSES_S,
    }
    await cursor.execute(_WAITING, values)
    return WaitingBeside.model_validate(await cursor.fetchone())
