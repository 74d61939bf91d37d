"""The short reads of an answer: made with it, in their order, or left to the run."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from activities import first_reads
from activities.first_reads import with_first_reads
from contracts.agent import ApprovalTimes, PinnedTool
from contracts.call import CallOutput, CallResult, CallStatus, ExecuteTool, ResultControl
from contracts.canonical import digest
from contracts.tool import Effect, Tier
from contracts.turn import CallControl, CallModel, Calls, Finish, ModelTurn, TurnContent, TurnControl
from store.database import StoreDown

pytestmark = pytest.mark.req("D3")

REQUEST = CallModel(tenant="acme", run_id="run-" + "a" * 26, definition=digest("agent"), step=4)


def tool(name: str, effect: Effect = Effect.READ, timeout_s: float = 2.0, *, isolated: bool = False) -> PinnedTool:
    return PinnedTool(
        name=name, version=1, tier=Tier.READ_ONLY, effect=effect, timeout_s=timeout_s, attempts=2, isolated=isolated,
        schema_digest=digest("schema"), source_digest=digest("source"), approval=ApprovalTimes(),
    )  # fmt: skip


TOOLS = (
    tool("crm.read"), tool("crm.write", Effect.WRITE), tool("crm.export", timeout_s=30), tool("crm.find"),
    tool("crm.parse", isolated=True),
)  # fmt: skip


def turn(*names: str, control: TurnControl | None = None) -> ModelTurn:
    calls = tuple(CallControl(tool=name, arguments_digest=digest(name)) for name in names)
    return ModelTurn(
        control=control or Calls(calls=calls), content=TurnContent(), served_model="m", tokens=1, micros=1,
        transcript_digest=digest("transcript"),
    )  # fmt: skip


class GateOf:
    """A gate that runs everything but what it is told to fail."""

    def __init__(self, **faults: Exception) -> None:
        self.asked: list[ExecuteTool] = []
        self._faults = faults

    async def execute(self, request: ExecuteTool) -> CallResult:
        self.asked.append(request)
        if request.tool.removeprefix("crm.") in self._faults:
            raise self._faults[request.tool.removeprefix("crm.")]
        return CallResult(
            step=request.step, call=request.call, visit=request.visit, tool=request.tool,
            arguments_digest=request.arguments_digest, input_digest=digest(request),
            control=ResultControl(status=CallStatus.RAN, told=True), content=CallOutput(arguments={}),
        )  # fmt: skip


async def visited(gate: GateOf, asked: ModelTurn, within_s: float = 1_000) -> ModelTurn:
    async def definition(tenant: str, wanted: str) -> object:
        assert (tenant, wanted) == (REQUEST.tenant, REQUEST.definition)
        return SimpleNamespace(tools=TOOLS)

    async def flush() -> None:
        pass

    engine: Any = SimpleNamespace(definition=definition, db=SimpleNamespace(flush=flush))
    return await with_first_reads(engine, cast("Any", gate), REQUEST, asked, within_s=within_s)


async def test_short_reads_are_visited_in_their_order_and_nothing_else() -> None:
    gate = GateOf()
    found = await visited(gate, turn("crm.find", "crm.write", "crm.export", "crm.parse", "crm.read"))
    assert [(visit.call, visit.tool, visit.visit) for visit in found.visits] == [
        (0, "crm.find", 1),
        (4, "crm.read", 1),
    ]
    assert [one.step for one in gate.asked] == [REQUEST.step] * 2
    assert found.model_copy(update={"visits": ()}) == turn(
        "crm.find", "crm.write", "crm.export", "crm.parse", "crm.read"
    )


@pytest.mark.parametrize("fault", [StoreDown("gone"), RuntimeError("a tool's own mistake"), TimeoutError()])
async def test_a_read_that_fails_is_left_to_the_run_with_those_after_it(fault: Exception) -> None:
    gate = GateOf(find=fault)
    found = await visited(gate, turn("crm.read", "crm.find", "crm.read"))
    assert [visit.call for visit in found.visits] == [0]
    assert len(gate.asked) == 2


async def test_no_read_begins_that_might_not_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr(first_reads.time, "monotonic", lambda: now_s[0])
    gate = GateOf()
    before = gate.execute

    async def slowly(request: ExecuteTool) -> CallResult:
        now_s[0] += 15
        return await before(request)

    gate.execute = slowly
    found = await visited(gate, turn("crm.read", "crm.find", "crm.read"))
    assert [visit.call for visit in found.visits] == [0, 1]


async def test_no_read_begins_when_the_activity_has_no_time_left() -> None:
    gate = GateOf()
    assert (await visited(gate, turn("crm.read"), within_s=5)).visits == ()
    assert gate.asked == []


async def test_an_answer_without_calls_stays_as_it_is() -> None:
    gate = GateOf()
    finish = turn(control=Finish(result="done"))
    assert await visited(gate, finish) is finish
    assert gate.asked == []
