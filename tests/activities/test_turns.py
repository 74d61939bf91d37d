"""Turns that share an activity: which are taken with a step, and which are left to the run."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from activities.turns import Turns
from contracts.agent import ApprovalTimes, PinnedTool
from contracts.call import CallOutput, CallResult, CallStatus, ExecuteTool, ResultControl
from contracts.canonical import digest
from contracts.tool import Effect, Tier
from contracts.turn import CallControl, CallModel, Calls, Finish, Halted, LimitMet, ModelTurn, TurnContent, TurnControl
from store.database import StoreDown

pytestmark = pytest.mark.req("D3")

REQUEST = CallModel(tenant="acme", run_id="run-" + "a" * 26, definition=digest("agent"), step=4, ahead=4)
MODEL_S = 60.0


def tool(name: str, effect: Effect = Effect.READ, timeout_s: float = 2.0) -> PinnedTool:
    return PinnedTool(
        name=name, version=1, tier=Tier.READ_ONLY, effect=effect, timeout_s=timeout_s, attempts=2, isolated=False,
        schema_digest=digest("schema"), source_digest=digest("source"), approval=ApprovalTimes(),
    )  # fmt: skip


TOOLS = (tool("crm.read"), tool("crm.find"), tool("crm.write", Effect.WRITE), tool("crm.export", timeout_s=30))


def turn(control: TurnControl) -> ModelTurn:
    return ModelTurn(
        control=control, content=TurnContent(), served_model="m", tokens=1, micros=1, transcript_digest=digest("seen"),
    )  # fmt: skip


def asks(*names: str) -> ModelTurn:
    return turn(Calls(calls=tuple(CallControl(tool=name, arguments_digest=digest(name)) for name in names)))


class Model:
    """Answers step 4 and those after it, or fails as it is told."""

    def __init__(self, *answers: ModelTurn | BaseException) -> None:
        self.asked: list[int] = []
        self._answers = answers

    async def call(self, request: CallModel) -> ModelTurn:
        self.asked.append(request.step)
        answer = self._answers[request.step - REQUEST.step]
        if isinstance(answer, BaseException):
            raise answer
        return answer


class GateOf:
    """A gate whose reads tell something new in each step, or what it is given."""

    def __init__(
        self, outputs: Sequence[str] = (), status: CallStatus = CallStatus.RAN, fault: Exception | None = None
    ) -> None:
        self.forgotten: list[str] = []
        self._outputs = outputs
        self._status = status
        self._fault = fault

    async def execute(self, request: ExecuteTool) -> CallResult:
        if self._fault is not None:
            raise self._fault
        after = request.step - REQUEST.step
        output = self._outputs[after] if self._outputs else f"news of step {request.step}"
        return CallResult(
            step=request.step, call=request.call, visit=1, tool=request.tool,
            arguments_digest=request.arguments_digest, input_digest=digest(request),
            control=ResultControl(status=self._status, output_digest=digest(output)[-16:]),
            content=CallOutput(arguments={}),
        )  # fmt: skip

    def forget(self, tenant: str, run_id: str) -> None:
        assert tenant == REQUEST.tenant
        self.forgotten.append(run_id)


class Store:
    """Counts how often somebody waits for the disk."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.flushed = 0
        self._fault = fault

    async def flush(self) -> None:
        self.flushed += 1
        if self._fault is not None:
            raise self._fault


async def taken(
    model: Model, gate: GateOf, *, request: CallModel = REQUEST, left_s: float = 1_000, store: Store | None = None
) -> ModelTurn:
    async def definition(tenant: str, wanted: str) -> object:
        assert (tenant, wanted) == (REQUEST.tenant, REQUEST.definition)
        return SimpleNamespace(tools=TOOLS, models={"plan": SimpleNamespace(timeout_s=MODEL_S)})

    engine: Any = SimpleNamespace(definition=definition, db=store or Store())
    return await Turns(engine, cast("Any", gate), model).take(request, lambda: left_s)


READ = asks("crm.read")
DONE = turn(Finish(result="done"))


async def test_steps_that_only_read_share_an_activity_until_one_asks_for_more() -> None:
    model = Model(READ, asks("crm.read", "crm.find"), asks("crm.write"), READ)
    found = await taken(model, GateOf())
    assert model.asked == [4, 5, 6]
    assert [len(found.visits), *(len(one.visits) for one in found.then)] == [1, 2, 0]
    assert [visit.step for one in found.then for visit in one.visits] == [5, 5]
    assert found.then[1].control == asks("crm.write").control
    assert all(one.took_ms is not None for one in (found, *found.then))
    assert not any(one.then for one in found.then)


@pytest.mark.parametrize("ahead", [0, 1, 3])
async def test_no_more_steps_are_taken_than_the_run_allows(ahead: int) -> None:
    model = Model(*[READ] * 8)
    found = await taken(model, GateOf(), request=REQUEST.model_copy(update={"ahead": ahead}))
    assert len(found.then) == ahead == len(model.asked) - 1


@pytest.mark.parametrize(
    "first", [DONE, asks("crm.write"), asks("crm.read", "crm.write"), asks("crm.read", "crm.export")]
)
async def test_nothing_follows_a_step_that_the_run_must_carry_on(first: ModelTurn) -> None:
    model = Model(first, READ)
    assert (await taken(model, GateOf())).then == ()
    assert model.asked == [4]


@pytest.mark.parametrize("status", sorted(set(CallStatus) - {CallStatus.RAN}))
async def test_nothing_follows_a_read_that_did_not_run(status: CallStatus) -> None:
    model = Model(READ, READ)
    assert (await taken(model, GateOf(status=status))).then == ()
    assert model.asked == [4]


async def test_nothing_follows_a_step_that_told_nothing_new() -> None:
    """The run counts it as part of a circle before the model is asked again."""
    model = Model(*[READ] * 5)
    found = await taken(model, GateOf(outputs=["a", "b", "a", "c", "d"]))
    assert (model.asked, len(found.then)) == ([4, 5, 6], 2)


async def test_no_step_begins_whose_model_call_might_not_end_in_time() -> None:
    model = Model(READ, READ)
    assert (await taken(model, GateOf(), left_s=MODEL_S - 1)).then == ()
    assert model.asked == [4]


async def test_what_is_recorded_in_one_event_stays_small() -> None:
    long = READ.model_copy(update={"content": TurnContent(text="x" * 200_000)})
    found = await taken(Model(*[long] * 5), GateOf())
    assert len(found.then) == 1


@pytest.mark.parametrize("met", [LimitMet(limit="steps"), Halted(by="agent:desk")])
async def test_a_limit_or_a_switch_between_two_steps_is_met_by_the_run(met: LimitMet | Halted) -> None:
    found = await taken(Model(READ, turn(met)), GateOf())
    assert (len(found.visits), found.then) == (1, ())


@pytest.mark.parametrize("fault", [StoreDown("gone"), RuntimeError("no model"), TimeoutError()])
async def test_a_next_step_that_fails_is_left_to_the_run(fault: Exception) -> None:
    gate = GateOf()
    found = await taken(Model(READ, READ, fault), gate)
    assert len(found.then) == 1
    assert gate.forgotten == [REQUEST.run_id], "what it committed without waiting may be lost"


async def test_an_answer_whose_reads_fail_is_on_disk_before_the_run_hears_of_it() -> None:
    store = Store()
    found = await taken(Model(READ), GateOf(fault=RuntimeError("a tool's own mistake")), store=store)
    assert (found.visits, store.flushed) == ((), 1)
    gate = GateOf(fault=StoreDown("gone"))
    with pytest.raises(StoreDown):
        await taken(Model(READ), gate, store=Store(StoreDown("gone")))
    assert gate.forgotten == [REQUEST.run_id]


async def test_nothing_waits_for_the_disk_twice() -> None:
    store = Store()
    for first in (READ, DONE, asks("crm.write")):
        await taken(Model(first, DONE), GateOf(), store=store)
    assert store.flushed == 0
