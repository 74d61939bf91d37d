"""A worker that stops leaves its open runs to the garbage collector: whatever they wait for, they say nothing."""

import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, cast

import pytest

from contracts.agent import OnExceeded
from contracts.call import CallHead, CallStatus
from contracts.canonical import digest
from contracts.event import RunRequest
from contracts.run_activities import Pinned
from contracts.turn import CallControl
from tests.agents.desk import loaded
from tests.workflows.test_ballot import DIGEST, RUN, TWO, ballot
from workflows import stubs
from workflows.asking import Asking
from workflows.overruns import Overruns

REQUEST = RunRequest.model_validate(
    {"tenant": "acme", "run_id": RUN, "agent": "support_refund",
     "origin": {"kind": "event", "endpoint": "e", "event_id": "x#1", "body_digest": DIGEST}}
)  # fmt: skip


def for_a_call() -> Coroutine[Any, Any, object]:
    """A run that has a request for approval opened."""
    call = CallControl(tool="crm.issue_refund", arguments_digest=digest({}))
    found = {
        "step": 1, "call": 0, "visit": 1, "tool": call.tool, "arguments_digest": call.arguments_digest,
        "control": {"status": CallStatus.NEEDS_APPROVAL, "requirement": TWO}, "content": {"message": ""},
    }  # fmt: skip
    return Asking(REQUEST, DIGEST, ballot()).ask(1, 0, call, CallHead.model_validate(found))


def for_a_limit() -> Coroutine[Any, Any, object]:
    """A run that asks for more of something."""
    agent = loaded("support_refund")[1]
    asking = agent.model_copy(update={"limits": agent.limits.model_copy(update={"on_exceeded": OnExceeded.ASK})})
    pinned = Pinned(definition=DIGEST, agent=asking, opened_at=0, interested=(), goal="")
    return Overruns(REQUEST, pinned, ballot(), lambda _phase: None).met(1, "tokens")


@types.coroutine
def for_ever(*_: object, **__: object) -> Generator[None]:
    while True:
        yield


@pytest.mark.parametrize("began", [for_a_call, for_a_limit])
def test_a_run_is_collected_while_its_request_is_opened(
    began: Callable[[], Coroutine[Any, Any, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stubs, "regular", cast("object", for_ever))
    run = began()
    run.send(None)
    run.close()  # what the garbage collector does; an error in it would be printed, and nobody could catch it
