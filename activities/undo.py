"""A run that undoes another: opened on an operator's order, its steps proposed from the plan that they were shown."""

import json
from typing import NoReturn

from temporalio.exceptions import ApplicationError

from activities.engine import Engine, engine_fault
from activities.gate.visit import json_object
from activities.proposal import parse_call
from activities.registry import LoadedAgent, Registry
from activities.transcript import event_message, message_row
from activities.undo_plan import make_plan
from contracts.audit import ModelReplied, RunOpened
from contracts.base import JsonObject
from contracts.call import EffectState
from contracts.canonical import canonical_bytes, digest, digest_bytes
from contracts.event import RunRequest, UndoOrigin
from contracts.model import AssistantMessage, ProposedCall, SystemMessage, Usage
from contracts.run_activities import NOT_ADMITTED, STORE_DOWN, Pinned
from contracts.turn import CallContent, CallControl, CallModel, Calls, Finish, ModelTurn, TurnContent
from contracts.undo import UNDO_PLANNER, UndoItem, UndoPlan
from store.effects import list_effects
from store.runs import NewRun, PinnedDefinition, load_definition, load_run, load_transcript, open_run
from store.undo import UndoOrder, find_order, propose_step
from store.vote_keys import vote_keys

__all__ = ["pin_undo", "propose_undo"]

_MAX_GOAL_CHARACTERS = 300
_MAX_SUMMARY_CHARACTERS = 8_000


async def pin_undo(engine: Engine, request: RunRequest, origin: UndoOrigin) -> Pinned:
    """Pin an undo run once; again, return what was pinned.

    Raises:
        ApplicationError: `NotAdmitted`: no operator ordered it so, or the ledger has moved on since they saw the plan.
    """
    order = await find_order(engine.db, request.tenant, request.run_id)
    if order is None:
        _refuse(f"nobody ordered the undo run {request.run_id}")
    told = (origin.run_id, origin.plan_digest, request.agent, request.on_behalf_of)
    if told != (order.of_run, order.plan_digest, order.agent, order.username):
        _refuse("the order says something else than this run")
    agent = engine.registry.live(order.agent)
    undone = engine.registry.agents.get(order.read_plan.agent)
    if agent is None or undone is None or order.agent in engine.registry.agents:
        _refuse(f"agent {order.read_plan.agent} is gone or has errors, so its tools cannot undo anything")
    if await load_run(engine.db, request.tenant, request.run_id) is None:
        plan = await make_plan(engine.db, undone, request.tenant, order.of_run, order.of_step)
        if digest(plan) != order.plan_digest or plan.in_doubt:
            _refuse("the ledger or a tool has changed since the plan was shown: look at it anew and order it again")
    return await _open(engine, request, order, agent)


async def _open(engine: Engine, request: RunRequest, order: UndoOrder, agent: LoadedAgent) -> Pinned:
    async with engine.db.everywhere() as cursor:
        keys = await vote_keys(cursor)
    if not keys:
        raise ApplicationError("no vote key is published yet: start the approvals process", type=STORE_DOWN)
    pinned = Registry.pin_loaded(agent, {}, keys)
    pinned = pinned.model_copy(update={"limits": pinned.limits.model_copy(update={"loops": None})})
    definition = PinnedDefinition(pinned)
    of_run = await load_run(engine.db, request.tenant, order.of_run)
    if of_run is None:
        _refuse(f"there is no run {order.of_run}")
    interested = tuple(dict.fromkeys((order.username, order.person, pinned.owner)))
    goal = f"undo of {order.of_run}, ordered by {order.person}: {order.reason}"[:_MAX_GOAL_CHARACTERS]
    event: JsonObject = {
        "type": "undo.ordered", "source": f"/runs/{order.of_run}", "id": order.run_id, "subject": order.of_run,
        "data": {"plan": json.loads(order.plan), "reason": order.reason, "ordered_by": order.person},
    }  # fmt: skip
    first = (SystemMessage(text=pinned.prompt), event_message(event))
    stored, opened_s = await open_run(
        engine.db,
        NewRun(
            tenant=request.tenant,
            run_id=request.run_id,
            definition=definition,
            endpoint=None,
            event_id=None,
            parent_run_id=order.of_run,
            root_run_id=str(of_run["root_run_id"]),
            on_behalf_of=order.username,
            interested=interested,
            trusted_fields=("plan",),
            goal=goal,
            messages=tuple(message_row(message) for message in first),
            audit=RunOpened(
                agent=pinned.name, definition=definition.digest, origin=request.origin, on_behalf_of=order.username
            ).model_dump_json(),
        ),
    )
    found = await load_definition(engine.db, request.tenant, stored)
    if found is None:
        _refuse("the pinned definition is gone")
    return Pinned(definition=stored, agent=found, opened_at=opened_s, interested=interested, goal=goal, event=event)


async def propose_undo(engine: Engine, request: CallModel) -> ModelTurn:
    """The step's proposal, stored where the gate reads it: the next compensation, or at the end what became of all."""
    order = await find_order(engine.db, request.tenant, request.run_id)
    if order is None:
        engine_fault(f"nobody ordered the undo run {request.run_id}")
    agent = await engine.definition(request.tenant, request.definition)
    plan = order.read_plan
    todo = plan.to_undo
    if request.step <= len(todo):
        answer, turn = _compensate(engine, agent.name, order, todo[request.step - 1], request.step)
    else:
        answer, turn = _finish(order, await _became(engine, request, todo), plan)
    text, size = message_row(answer)
    audit = ModelReplied(
        step=request.step, control=turn.control.kind, answer_digest=digest_bytes(text.encode()),
        transcript_digest=turn.transcript_digest, served_model=UNDO_PLANNER, request_id="", usage=Usage(), tokens=0,
        micros=0,
    )  # fmt: skip
    stored = await propose_step(
        engine.db, request.tenant, request.run_id, request.step, control=turn.model_dump_json(), message=(text, size),
        audit=audit.model_dump_json(),
    )  # fmt: skip
    if stored is None:
        engine_fault(f"run {request.run_id} is over")
    return ModelTurn.model_validate_json(stored)


def _compensate(
    engine: Engine, agent: str, order: UndoOrder, item: UndoItem, step: int
) -> tuple[AssistantMessage, ModelTurn]:
    live = engine.registry.live(agent)
    why = f"Takes back {item.tool} of {order.of_run}, {item.key}. {order.person}: {order.reason}"[:500]
    arguments = canonical_bytes({**item.compensation_arguments, "why": why}).decode()
    call = ProposedCall(call_id=f"undo-{step}", tool=item.compensation or "", arguments_json=arguments)
    parsed = parse_call(call, live.tools if live else {})
    if not isinstance(parsed, CallContent):
        engine_fault(f"{item.compensation} does not take the planned arguments any more")
    control = Calls(calls=(CallControl(tool=call.tool, arguments_digest=digest(parsed.arguments)),))
    return _said("", (call,), control, TurnContent(calls=(parsed,)), order)


def _said(
    text: str, calls: tuple[ProposedCall, ...], control: Calls | Finish, content: TurnContent, order: UndoOrder
) -> tuple[AssistantMessage, ModelTurn]:
    turn = ModelTurn(
        control=control, content=content, served_model=UNDO_PLANNER, tokens=0, micros=0,
        transcript_digest=order.plan_digest,
    )  # fmt: skip
    return AssistantMessage(text=text, calls=calls), turn


async def _became(engine: Engine, request: CallModel, todo: tuple[UndoItem, ...]) -> list[str]:
    """Of each planned compensation: empty when it was done, else what stood against it."""
    effects = {row["step"]: row for row in await list_effects(engine.db, request.tenant, request.run_id)}
    told: dict[int, str] = {}
    for row in await load_transcript(engine.db, request.tenant, request.run_id):
        content = row["content"]
        if isinstance(content, dict) and content.get("role") == "tool" and content.get("is_error"):
            told[int(str(row["step"]))] = str(json_object(str(content["text"])).get("error", ""))
    became: list[str] = []
    for step in range(1, len(todo) + 1):
        effect = effects.get(step)
        done = effect is not None and effect["state"] == EffectState.SUCCEEDED
        became.append("" if done else told.get(step) or "it was not answered")
    return became


def _finish(order: UndoOrder, became: list[str], plan: UndoPlan) -> tuple[AssistantMessage, ModelTurn]:
    todo = plan.to_undo
    undone = [item for item, why in zip(todo, became, strict=True) if not why]
    failed = [(item, why) for item, why in zip(todo, became, strict=True) if why]
    lasting = [item for item in plan.items if item.verdict == "cannot"]
    lines = [f"Taken back: {_named(undone)}."] if undone else ["Nothing was taken back."]
    lines += [f"Not taken back: {item.tool} ({item.key}): {why}" for item, why in failed]
    lines += [f"No way back: {item.tool} ({item.key}): {item.why}." for item in lasting]
    summary = " ".join(lines)[:_MAX_SUMMARY_CHARACTERS]
    needed = (
        f"Decide what becomes of {_named([item for item, _ in failed])}: it stands. Undo it by hand, or order it again."
        if failed
        else ""
    )
    result = "hand_over" if failed else "done"
    arguments: JsonObject = {"result": result, "summary": summary, "needed": needed}
    step = len(todo) + 1
    call = ProposedCall(call_id=f"undo-{step}", tool="finish", arguments_json=canonical_bytes(arguments).decode())
    content = TurnContent(summary=summary, needed=needed)
    return _said("", (call,), Finish(result=result), content, order)


def _named(items: list[UndoItem]) -> str:
    return ", ".join(f"{item.tool} ({item.key})" for item in items)


def _refuse(message: str) -> NoReturn:
    raise ApplicationError(message, type=NOT_ADMITTED, non_retryable=True)
