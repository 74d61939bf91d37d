"""What a line of a worker's log is about, as Temporal knows it: asked when a line is written, never before."""

import logging
import re
from collections.abc import Mapping

from temporalio import activity

from settings.logs import Names

__all__ = ["names_of"]

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
    if info.priority.fairness_key:
        names["tenant"] = info.priority.fairness_key
    if info.workflow_id is None:
        return names
    names["run"] = info.workflow_id
    if place := _PLACE.match(info.activity_id):
        step, call = place.groups()
        names["step"] = int(step)
        if call is not None:
            names |= {"call": int(call), "key": f"{info.workflow_id}/{step}/{call}"}
    return names
