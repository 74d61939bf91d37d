"""Recorded digests against the values that they were made from. Temporal's replay compares neither. Pure.

What this proves: the history agrees with itself. Somebody who changes a value and every digest that depends on it
is found by the audit chain of the store, not here.
"""

from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel

from contracts.call import CallResult, ExecuteTool
from contracts.canonical import canonical_bytes, digest, digest_bytes
from contracts.event import AcceptedEvent, EventOrigin, RunRequest
from contracts.outcome import RunReport
from contracts.run_activities import (
    CALL_MODEL,
    CLOSE_RUN,
    EXECUTE_TOOL,
    PIN_AGENT,
    SETTLE_APPROVAL,
    ApprovalSettled,
    Pinned,
    Revised,
)
from contracts.turn import CallModel, Calls, ModelTurn
from contracts.undo import PROPOSE_UNDO
from contracts.vote import Grant
from incidents.facts import Activity, Fact, LinkEnded
from incidents.story import Finding
from incidents.votes_told import Edit

__all__ = ["compare"]

_NOTHING = "sha256:" + "0" * 64
_SHORT = 19
"""Characters of a digest that a person compares: its algorithm and twelve digits."""


def compare(
    request: RunRequest,
    facts: Sequence[Fact],
    grants: Mapping[tuple[int, int], Sequence[Grant]],
    edits: Mapping[str, Edit],
) -> tuple[Finding, ...]:
    """Every recorded value that contradicts another.

    `grants` by step and call, and `edits` by request, as the votes gave them.
    """
    return tuple(_Comparison(request, grants, edits).of(facts))


class _Comparison:
    """What was pinned and proposed so far, which later values must agree with."""

    def __init__(
        self, request: RunRequest, grants: Mapping[tuple[int, int], Sequence[Grant]], edits: Mapping[str, Edit]
    ) -> None:
        self._request = request
        self._grants = grants
        self._edits = edits
        self._definition: str | None = None
        self._proposed: dict[tuple[int, int], tuple[str, str]] = {}
        self._revisions: dict[tuple[int, int], int] = {}
        self._report: RunReport | None = None

    def of(self, facts: Sequence[Fact]) -> Iterator[Finding]:
        for fact in facts:
            if isinstance(fact, LinkEnded):
                yield from self._ended(fact)
            elif isinstance(fact, Activity) and fact.state == "done":
                match fact.name:
                    case PIN_AGENT.name:
                        yield from self._pinned(fact)
                    case CALL_MODEL.name | PROPOSE_UNDO.name:
                        yield from self._turn(fact)
                    case EXECUTE_TOOL.name:
                        yield from self._visit(fact)
                    case SETTLE_APPROVAL.name:
                        yield from self._settled(fact)
                    case CLOSE_RUN.name:
                        self._report = RunReport.model_validate(fact.result)
                    case _:
                        pass

    def _pinned(self, fact: Activity) -> Iterator[Finding]:
        pinned = Pinned.model_validate(fact.result)
        yield from _differ(fact, "prompt", pinned.agent.prompt_digest, digest_bytes(pinned.agent.prompt.encode()))
        yield from _differ(fact, "pinned definition", pinned.definition, digest(pinned.agent))
        if self._definition is not None:
            yield from _differ(fact, "definition of the continued run", pinned.definition, self._definition)
        origin = self._request.origin
        if pinned.event and isinstance(origin, EventOrigin):
            event = AcceptedEvent.model_validate(pinned.event)
            yield from _differ(fact, "event", origin.body_digest, event.body_digest)
        yield from _differ(fact, "agent's name", pinned.agent.name, self._request.agent)
        self._definition = pinned.definition

    def _turn(self, fact: Activity) -> Iterator[Finding]:
        asked = CallModel.model_validate(fact.input)
        where = f"step {asked.step}"
        yield from self._context(fact, f"model call of {where}", asked.tenant, asked.run_id, asked.definition)
        turn = ModelTurn.model_validate(fact.result)
        if not isinstance(turn.control, Calls):
            return
        yield from _differ(
            fact, f"number of calls of {where}", str(len(turn.control.calls)), str(len(turn.content.calls))
        )
        for index, (control, content) in enumerate(zip(turn.control.calls, turn.content.calls, strict=False)):
            what = f"proposed arguments of {where} call {index}"
            yield from _differ(fact, what, control.arguments_digest, digest(content.arguments))
            self._proposed[asked.step, index] = (control.tool, control.arguments_digest)

    def _settled(self, fact: Activity) -> Iterator[Finding]:
        """A call that people edited: from here on it is what the approver signed."""
        settled = ApprovalSettled.model_validate(fact.result)
        edit = self._edits.get(settled.request_id)
        if settled.revised is None and edit is None:
            return
        revised = settled.revised or Revised(revision=1, arguments_digest=_NOTHING, problem="none recorded")
        if edit is None:
            yield from _differ(fact, f"edit that ended {settled.request_id}", revised.arguments_digest, "no such vote")
            return
        place = (edit.step, edit.call)
        tool, before = self._proposed.get(place, ("nothing", _NOTHING))
        what = f"edited arguments of step {edit.step} call {edit.call}"
        yield from _differ(fact, what, revised.arguments_digest, before if revised.problem else edit.digest)
        self._proposed[place] = (tool, revised.arguments_digest)
        self._revisions[place] = revised.revision

    def _visit(self, fact: Activity) -> Iterator[Finding]:
        result = CallResult.model_validate(fact.result)
        where = f"step {result.step} call {result.call}"
        tool, arguments = self._proposed.get((result.step, result.call), ("nothing", "nothing"))
        yield from _differ(fact, f"tool of {where}", result.tool, tool)
        yield from _differ(fact, f"arguments digest of {where}", result.arguments_digest, arguments)
        revision = self._revisions.get((result.step, result.call), 0)
        yield from _differ(fact, f"edits of {where}", str(result.revision), str(revision))
        yield from _differ(fact, f"arguments of {where}", result.arguments_digest, digest(result.content.arguments))
        if fact.input is not None:
            given = ExecuteTool.model_validate(fact.input)
            yield from self._context(fact, f"input of {where}", given.tenant, given.run_id, given.definition)
            yield from _differ(fact, f"input of {where}", result.input_digest, digest(given))
            return
        possible = [
            digest(self._given(result, grant)) for grant in (None, *self._grants.get((result.step, result.call), ()))
        ]
        if result.input_digest not in possible:
            yield from _differ(fact, f"input of {where}", result.input_digest, possible[0])

    def _given(self, result: CallResult, grant: Grant | None) -> ExecuteTool:
        """The input of a local visit, which is not recorded: it follows from what is."""
        return ExecuteTool(
            tenant=self._request.tenant,
            run_id=self._request.run_id,
            definition=self._definition or "",
            step=result.step,
            call=result.call,
            visit=result.visit,
            tool=result.tool,
            arguments_digest=result.arguments_digest,
            revision=result.revision,
            grant=grant,
        )

    def _context(self, fact: Activity, what: str, tenant: str, run_id: str, definition: str) -> Iterator[Finding]:
        yield from _differ(fact, f"tenant in the {what}", tenant, self._request.tenant)
        yield from _differ(fact, f"run in the {what}", run_id, self._request.run_id)
        yield from _differ(fact, f"definition in the {what}", definition, self._definition or "nothing")

    def _ended(self, fact: LinkEnded) -> Iterator[Finding]:
        if fact.how == "completed" and self._report is not None:
            yield from _differ(fact, "report", _of(RunReport.model_validate(fact.result)), _of(self._report))


def _of(value: BaseModel) -> str:
    return digest_bytes(canonical_bytes(value))


def _differ(fact: Fact, what: str, recorded: str, found: str) -> Iterator[Finding]:
    if recorded != found:
        yield Finding(link=fact.link, event=fact.event, what=what, recorded=_short(recorded), found=_short(found))


def _short(value: str) -> str:
    return value[:_SHORT] if value.startswith("sha256:") else value
