"""What a line of a worker's log is about: Temporal is asked when it is written, the tenant is noted before."""

import logging
import re
from collections.abc import Mapping
from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor
from typing_extensions import override

from settings.logs import Names, begin

__all__ = ["NotesTenants", "names_of"]

_PLACE = re.compile(r"s(\d+)(?:-c(\d+))?")
"""Of the ids of activities, as `workflows` give them."""


def names_of(record: logging.LogRecord) -> Names:
    """Of a line of an activity: its run and tenant, step and call; of a line of the workflow itself its run."""
    if activity.in_activity():
        return _of_activity(activity.info())
    told: Mapping[str, object] = getattr(record, "temporal_workflow", {})
    return {"run": str(told["workflow_id"])} if "workflow_id" in told else {}


def _of_activity(info: activity.Info) -> Names:
    names: dict[str, str | int] = {"activity": info.activity_type, "attempt": info.attempt}
    if info.workflow_id is None:
        return names
    names["run"] = info.workflow_id
    if place := _PLACE.match(info.activity_id):
        step, call = place.groups()
        names["step"] = int(step)
        if call is not None:
            names |= {"call": int(call), "key": f"{info.workflow_id}/{step}/{call}"}
    return names


class NotesTenants(Interceptor):
    """Lines of an activity name the tenant that it works for: its input says which."""

    @override
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _NotesTenant(next)


class _NotesTenant(ActivityInboundInterceptor):
    @override
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        tenant = getattr(input.args[0], "tenant", "") if input.args else ""
        if tenant:
            begin(tenant=tenant)  # each activity is a task of its own
        return await super().execute_activity(input)
