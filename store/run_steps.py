"""What a run read, proposed and did, step by step, as it was recorded: a page of it."""

from datetime import datetime

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record

__all__ = ["MAX_STEPS", "RecordedMessage", "messages_of"]

MAX_STEPS = 20
"""Steps in a page."""
_MOST = 200
_LONGEST = 4_000
"""Characters that are shown of one message; the history has it whole."""


class RecordedMessage(Record):
    """A message of the transcript."""

    seq: int
    step: int
    call: int | None
    """Position within the step's proposal, of an answer to a call."""
    role: str
    """`user`, `assistant` or `tool`."""
    tool: str
    text: str
    """Its text, or the beginning."""
    is_error: bool
    is_cut: bool
    calls: tuple[tuple[str, str], ...]
    """Of a proposal: tool and arguments as JSON, in order."""
    at: datetime | None
    """When the call or the model call was done."""


async def messages_of(
    cursor: AsyncCursor[DictRow], tenant: str, run_id: str, *, first_step: int
) -> tuple[RecordedMessage, ...]:
    """The messages of `MAX_STEPS` steps from `first_step` on, oldest first."""
    await cursor.execute(
        """select m.seq, m.step, m.call, c.content ->> 'role' as role, coalesce(c.content ->> 'tool', '') as tool,
               left(c.content ->> 'text', %(longest)s) as text, length(c.content ->> 'text') > %(longest)s as is_cut,
               coalesce((c.content ->> 'is_error')::boolean, false) as is_error,
               coalesce((select jsonb_agg(jsonb_build_array(p ->> 'tool', left(p ->> 'arguments_json', %(longest)s))
                   order by place) from jsonb_array_elements(c.content -> 'calls') with ordinality e(p, place)), '[]')
                   as calls,
               (select max(j.done_at) from journal j where j.tenant = m.tenant and j.run_id = m.run_id
                   and j.step = m.step and j.message_seq = m.seq) as at
           from messages m cross join lateral (select m.content::jsonb as content) c
           where m.tenant = %(tenant)s and m.run_id = %(run_id)s and m.step >= %(first)s
               and m.step < %(first)s + %(steps)s
           order by m.seq limit %(most)s""",
        {"tenant": tenant, "run_id": run_id, "first": first_step, "steps": MAX_STEPS, "most": _MOST,
         "longest": _LONGEST},
    )  # fmt: skip
    return tuple(RecordedMessage.model_validate(row) for row in await cursor.fetchall())
