"""Open a run: check that an accepted event vouches for it, pin its agent, write its first messages."""

from typing import NoReturn

from temporalio.exceptions import ApplicationError

from activities.engine import Engine
from activities.models.model_map import ModelMapError, resolve
from activities.models.prices import UnpricedModel
from activities.registry import AgentRefused
from activities.transcript import event_message, message_row
from activities.undo import pin_undo
from contracts.agent import PinnedAgent
from contracts.audit import RunOpened
from contracts.base import Digest
from contracts.event import AcceptedEvent, EventOrigin, RunRequest, UndoOrigin
from contracts.model import SystemMessage
from contracts.run_activities import NOT_ADMITTED, STORE_DOWN, Pinned
from store.runs import NewRun, Opening, PinnedDefinition, load_opening, open_run

__all__ = ["pin_agent"]

_MAX_GOAL_CHARACTERS = 300


async def pin_agent(engine: Engine, request: RunRequest) -> Pinned:
    """Pin once; again, return what was pinned.

    Raises:
        ApplicationError: `NotAdmitted`: anyone with access to Temporal can start a workflow, so a run without a
            matching inbox row, or for an agent that cannot run, ends here.
    """
    if isinstance(request.origin, UndoOrigin):
        return await pin_undo(engine, request, request.origin)
    if not isinstance(request.origin, EventOrigin):
        _refuse("runs started by other runs are not accepted by this version")
    origin = request.origin
    accepted = await load_opening(engine.db, request.tenant, origin.endpoint, origin.event_id)
    if accepted is None:
        _refuse(f"no event {origin.event_id!r} was accepted at {origin.endpoint}")
    told = (request.run_id, request.agent, origin.body_digest, request.on_behalf_of)
    if told != (accepted.run_id, accepted.agent, accepted.event.body_digest, accepted.on_behalf_of):
        _refuse(f"the accepted event {origin.event_id!r} started another run than this")
    # A later part of a long run goes on with what it began with, whatever has become of the agent's folder meanwhile.
    definition, opened_s = accepted.opened or await _open(engine, request, origin, accepted)
    agent = await engine.definition(request.tenant, definition)
    return Pinned(
        definition=definition,
        agent=agent,
        opened_at=opened_s,
        interested=_interested(agent, accepted),
        goal=_goal(accepted.event),
        event=accepted.event.model_dump(mode="json"),
    )


async def _open(engine: Engine, request: RunRequest, origin: EventOrigin, accepted: Opening) -> tuple[Digest, int]:
    """Open the run with its agent as it is now; its definition's digest and when it was opened (Unix seconds)."""
    pinned = _pin(engine, request, accepted.vote_keys)
    agent = pinned.agent
    first = (SystemMessage(text=agent.prompt), event_message(accepted.event.model_dump(mode="json")))
    return await open_run(
        engine.db,
        NewRun(
            tenant=request.tenant,
            run_id=request.run_id,
            definition=pinned,
            endpoint=origin.endpoint,
            event_id=origin.event_id,
            parent_run_id=None,
            root_run_id=request.run_id,
            on_behalf_of=accepted.on_behalf_of,
            interested=_interested(agent, accepted),
            trusted_fields=accepted.event.trusted,
            goal=_goal(accepted.event),
            messages=tuple(message_row(message) for message in first),
            audit=RunOpened(
                agent=agent.name, definition=pinned.digest, origin=origin, on_behalf_of=accepted.on_behalf_of
            ).model_dump_json(),
        ),
    )


def _pin(engine: Engine, request: RunRequest, vote_keys: dict[str, str]) -> PinnedDefinition:
    try:
        loaded = engine.registry.agent(request.agent)
        named = resolve(loaded.file.models.values(), engine.settings)
        models = {role: named[name] for role, name in loaded.file.models.items()}
        if not vote_keys:
            raise ApplicationError("no vote key is published yet: start the approvals process", type=STORE_DOWN)
        return engine.pin(request.agent, models, vote_keys)
    except (AgentRefused, ModelMapError, UnpricedModel, ValueError) as error:
        _refuse(str(error), error)


def _interested(agent: PinnedAgent, accepted: Opening) -> tuple[str, ...]:
    return tuple(name for name in (accepted.on_behalf_of, agent.owner) if name)


def _goal(event: AcceptedEvent) -> str:
    subject = f" about {event.subject}" if event.subject else ""
    return f"{event.type}{subject} from {event.source}"[:_MAX_GOAL_CHARACTERS]


def _refuse(message: str, cause: Exception | None = None) -> NoReturn:
    raise ApplicationError(message, type=NOT_ADMITTED, non_retryable=True) from cause
