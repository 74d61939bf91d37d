"""Open a run: check that an accepted event vouches for it, pin its agent, write its first messages."""

from typing import NoReturn

from temporalio.exceptions import ApplicationError

from activities.engine import Engine
from activities.models.model_map import ModelMapError, resolve
from activities.models.prices import UnpricedModel
from activities.registry import AgentRefused
from activities.transcript import event_message, message_row
from activities.undo import pin_undo
from contracts.audit import RunOpened
from contracts.event import AcceptedEvent, EventOrigin, RunRequest, UndoOrigin
from contracts.model import SystemMessage
from contracts.run_activities import NOT_ADMITTED, STORE_DOWN, Pinned
from store.runs import NewRun, PinnedDefinition, load_definition, load_opening, open_run

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
    pinned = _pin(engine, request, accepted.vote_keys)
    agent = pinned.agent
    interested = tuple(name for name in (accepted.on_behalf_of, agent.owner) if name)
    goal = _goal(accepted.event)
    first = (SystemMessage(text=agent.prompt), event_message(accepted.event.model_dump(mode="json")))
    stored, opened_s = await open_run(
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
            interested=interested,
            trusted_fields=accepted.event.trusted,
            goal=goal,
            messages=tuple(message_row(message) for message in first),
            audit=RunOpened(
                agent=agent.name, definition=pinned.digest, origin=origin, on_behalf_of=accepted.on_behalf_of
            ).model_dump_json(),
        ),
    )
    if stored != pinned.digest:
        # Pinned by an earlier attempt or an earlier part of a long run, before the folder changed: that one holds.
        found = await load_definition(engine.db, request.tenant, stored)
        if found is None:
            _refuse("the pinned definition is gone")
        agent = found
    return Pinned(
        definition=stored,
        agent=agent,
        opened_at=opened_s,
        interested=interested,
        goal=goal,
        event=accepted.event.model_dump(mode="json"),
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


def _goal(event: AcceptedEvent) -> str:
    subject = f" about {event.subject}" if event.subject else ""
    return f"{event.type}{subject} from {event.source}"[:_MAX_GOAL_CHARACTERS]


def _refuse(message: str, cause: Exception | None = None) -> NoReturn:
    raise ApplicationError(message, type=NOT_ADMITTED, non_retryable=True) from cause
