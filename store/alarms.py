"""Alarms: what a person should hear of without looking for it."""

import json
from typing import LiteralString

from contracts.base import JsonObject
from store.database import Database

__all__ = ["raise_alarm"]

# A repetition of the same attempt must not fill the table: one alarm for one subject in that time tells as much.
_RAISE: LiteralString = """
insert into alarms (tenant, kind, subject, detail)
select %(tenant)s::text, %(kind)s::text, %(subject)s::text, %(detail)s::jsonb
where not exists (select from alarms
       where tenant = %(tenant)s and at > now() - make_interval(days => %(days)s) and kind = %(kind)s::text
           and subject = %(subject)s::text)"""


async def raise_alarm(
    db: Database, tenant: str, kind: str, subject: str, detail: JsonObject, *, every_days: int = 1
) -> None:
    """Raise an alarm, once in `every_days` for each kind and subject. `detail` holds no personal data."""
    values = {"tenant": tenant, "kind": kind, "subject": subject, "detail": json.dumps(detail), "days": every_days}
    async with db.tenant(tenant) as cursor:
        await cursor.execute(_RAISE, values)
