"""What made a request void, as lists tell it: what an approver did, that something had changed, that it was a test."""

from typing import Literal, LiteralString

from contracts.base import Record

__all__ = ["ENDING", "Ending"]


class Ending(Record):
    """What made a request void."""

    how: Literal["edit", "ask", "hand_over", "changed", "test"]
    """An approver's decision; `changed`: what was asked had changed by itself; `test`: it was a test request."""
    display_name: str
    """Who decided so; empty where nobody did."""
    followed_by: str
    """The request that took its place, or in which the agent asked again; empty where there is none so far."""


ENDING: LiteralString = """
    case when r.state = 'voided' then (
        select json_build_object('how', coalesce(v.verdict, t.how, 'changed'),
            'display_name', coalesce(v.display_name, ''), 'followed_by', coalesce(n.request_id, ''))
        from (select) one
            left join lateral (select o.verdict, o.display_name from votes o where o.tenant = r.tenant
                and o.request_id = r.request_id and o.state = 'accepted' and o.verdict in ('edit', 'ask', 'hand_over')
                order by o.cast_at limit 1) v on true
            left join lateral (select 'test' as how from decoys d
                where d.tenant = r.tenant and d.request_id = r.request_id) t on true
            left join lateral (select f.request_id from approval_requests f where f.tenant = r.tenant
                and f.run_id = r.run_id and f.tool = r.tool and (f.step, f.call, f.visit) > (r.step, r.call, r.visit)
                and (f.step > r.step or f.call = r.call) order by f.step, f.call, f.visit limit 1) n on true
    ) end as ending
"""
"""A column of a request `r`: null unless it is void. The same successor as `store.revisions.following_request`."""
