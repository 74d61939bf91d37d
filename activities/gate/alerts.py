"""The alarm that an agent may ask for when policy denies one of its calls."""

from activities.engine import Engine
from activities.gate.visit import Visit
from contracts.agent import ANY_TOOL, OnDenied
from contracts.decision import DecisionRecord
from store.alarms import raise_alarm

__all__ = ["alert_of_denial"]


async def alert_of_denial(engine: Engine, visit: Visit, record: DecisionRecord) -> None:
    """Raise it before the denial is stored: after a crash in between it is raised once all the same."""
    declared = visit.agent.on_denied
    if declared.get(visit.pinned.name, declared.get(ANY_TOOL, OnDenied.TELL)) is not OnDenied.ALERT:
        return
    request = visit.request
    await raise_alarm(
        engine.db,
        request.tenant,
        "call_denied",
        f"{request.run_id}/{request.step}/{request.call}",
        {
            "agent": visit.agent.name,
            "owner": visit.agent.owner,
            "tool": visit.pinned.name,
            "policies": [reason.policy for reason in record.decision.reasons],
        },
    )
