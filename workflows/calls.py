"""The calls of one proposal: short reads in turn, slow ones side by side, writes in order, approvals apart."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from temporalio import workflow

from contracts.agent import ANY_TOOL, OnDenied, PinnedTool
from contracts.call import CallHead, CallStatus, EffectState, ExecuteTool
from contracts.event import RunRequest
from contracts.outcome import Outcome, OutcomeReason
from contracts.run_activities import Pinned
from contracts.tool import Effect
from contracts.turn import CallControl
from contracts.vote import Grant
from policy.loops import CallSeen
from workflows import stubs
from workflows.asking import Asking
from workflows.ballot import Ballot
from workflows.checking import make_checks
from workflows.endings import End
from workflows.halts import Halts
from workflows.overruns import Overruns

__all__ = ["Calls"]

MAX_ASKS = 3
"""How often one call is put before people because what it was about changed; as often again after each edit."""
MAX_CHECKS = 5
"""How often one call is sent to be checked: once, unless policy changes meanwhile; as often again after each edit."""
MAX_DOUBTS = 8
MAX_TURNS = 16
"""How often one call waits for a rate. The gate tells the model well before."""
_SHORTEST_TURN_S = 0.1
_FIRST_DOUBT_S = 15.0
_LONGEST_DOUBT_S = 600.0
_MAX_LINES = 200


_FOR_OTHERS = frozenset({CallStatus.NEEDS_APPROVAL, CallStatus.NEEDS_CHECK})
"""A call that is checked may be asked about next: others need not wait for that."""


class Calls:
    """Performs the calls of a run's steps."""

    def __init__(
        self, request: RunRequest, pinned: Pinned, ballot: Ballot, overruns: Overruns, halts: Halts,
        enter: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._request = request
        self._pinned = pinned
        self._asking = Asking(request, pinned.definition, ballot)
        self._overruns = overruns
        self._halts = halts
        halts.may_restart = lambda: not self._asked
        self._asked = False
        self._enter = enter
        self._newest: dict[int, CallHead] = {}
        self._changes = 0
        self._tools = {tool.name: tool for tool in pinned.agent.tools}
        self._lines: list[str] = []
        self.waited_s = 0.0
        """Time spent waiting for people, in seconds."""

    @property
    def lines(self) -> tuple[str, ...]:
        """What was tried, one line a call, newest last: for a packet when the store is down. No personal data."""
        return tuple(self._lines)

    @property
    def seen(self) -> list[CallSeen]:
        """What became of the calls of the newest step, in their order."""
        return [_seen(result) for _, result in sorted(self._newest.items())]

    async def perform(self, step: int, calls: Sequence[CallControl], visited: Sequence[CallHead]) -> End | None:
        """Perform a step's calls, some of which were `visited` once already.

        An end, when one of them ends the run; else the transcript has every answer.
        """
        self._enter("acting")
        self._newest = {}
        self._asked = False
        self._changes = self._overruns.changes
        tools = [self._tool(call) for call in calls]
        results = {head.call: head for head in visited}
        quick = [index for index, tool in enumerate(tools) if tool.is_short_read]
        slow = [index for index, tool in enumerate(tools) if tool.effect is Effect.READ and index not in quick]
        for index in quick:
            if index in results:
                continue
            await self._halts.clear(step)
            results[index] = await self._visit(step, index, calls[index], 1)
        await self._halts.clear(step)
        found = await asyncio.gather(*(self._visit(step, index, calls[index], 1) for index in slow))
        results.update(zip(slow, found, strict=True))
        for index, tool in enumerate(tools):
            if tool.effect is Effect.WRITE:
                await self._halts.clear(step)
                results[index] = await _unbroken(self._visit(step, index, calls[index], 1))
        end = await self._settle_all(step, calls, results)
        self._asked = False
        return end

    async def _settle_all(self, step: int, calls: Sequence[CallControl], results: dict[int, CallHead]) -> End | None:
        """Carry on every call until the model has its answer: requests for approval are asked side by side."""
        began, paused_s = workflow.now(), self._halts.waited_s
        asked = [index for index, found in results.items() if found.control.status in _FOR_OTHERS]
        rest = [index for index in sorted(results) if index not in asked]
        for index in rest:
            end = await self._carry_on(step, index, calls[index], results[index])
            if end is not None:
                return end
        if not asked:
            return None
        ends = await asyncio.gather(*(self._carry_on(step, index, calls[index], results[index]) for index in asked))
        self.waited_s += (workflow.now() - began).total_seconds() - (self._halts.waited_s - paused_s)
        return next((end for end in ends if end is not None), None)

    async def _carry_on(self, step: int, index: int, call: CallControl, result: CallHead) -> End | None:
        """From a first result to the call's end: approvals, doubts, limits."""
        grant: Grant | None = None
        asks = checks = doubts = turns = 0
        changes = self._changes
        doubt_s = _FIRST_DOUBT_S
        while True:
            control = result.control
            self._note(result)
            match control.status:
                case _ if control.told:
                    return self._denied(step, call, control.status)
                case CallStatus.LIMIT_REACHED | CallStatus.HALTED:
                    end = await self._stopped(step, call, result, seen=changes)
                    if end is not None:
                        return end
                case CallStatus.RETRY_AFTER if turns < MAX_TURNS:
                    turns += 1
                    await workflow.sleep(timedelta(seconds=max(control.retry_after_s or 0, _SHORTEST_TURN_S)))
                case CallStatus.NEEDS_CHECK if checks < MAX_CHECKS * (1 + call.revision):
                    checks += 1
                    end = await self._check(step, index, call, control.checks, seen=changes)
                    if end is not None:
                        return end
                case CallStatus.NEEDS_APPROVAL if asks < MAX_ASKS * (1 + call.revision):
                    asks += 1
                    answer = await self._ask(step, index, call, result)
                    if answer is None or isinstance(answer, End):
                        return answer
                    call, grant = (answer, None) if isinstance(answer, CallControl) else (call, answer)
                case CallStatus.UNKNOWN if doubts < MAX_DOUBTS:
                    doubts += 1
                    self._enter("in_doubt")
                    await self._halts.doubt(step, index, max(control.retry_after_s or 0, doubt_s))
                    doubt_s = min(doubt_s * 2, _LONGEST_DOUBT_S)
                case CallStatus.UNKNOWN:
                    return End(Outcome.ESCALATED, OutcomeReason.EFFECT_UNKNOWN, f"step {step} {call.tool}")
                case _:
                    return End(
                        Outcome.ESCALATED, OutcomeReason.ENGINE_FAULT, f"step {step} {call.tool}: {control.status}"
                    )
            await self._halts.clear(step)
            self._enter("acting")
            changes = self._overruns.changes
            result = await _unbroken(self._visit(step, index, call, result.visit + 1, grant))

    async def _stopped(self, step: int, call: CallControl, result: CallHead, *, seen: int) -> End | None:
        """A limit was met or a kill switch is on: the end, or None when the call may be tried again."""
        if result.control.status is CallStatus.HALTED:
            return await self._halts.halted(step, call.tool, result.content.message)
        self._asked = True
        return await self._overruns.met(step, result.control.limit, seen=seen)

    def _denied(self, step: int, call: CallControl, status: CallStatus) -> End | None:
        """What the agent declares for a denial; the model was told in any case."""
        if status is not CallStatus.DENIED:
            return None
        declared = self._pinned.agent.on_denied
        match declared.get(call.tool, declared.get(ANY_TOOL, OnDenied.TELL)):
            case OnDenied.TELL:
                return None
            case OnDenied.STOP:
                return End(Outcome.FAILED_SAFE, OutcomeReason.DENIED, f"step {step} {call.tool}")
            case OnDenied.ESCALATE | OnDenied.ALERT:
                return End(Outcome.ESCALATED, OutcomeReason.DENIED, f"step {step} {call.tool}")

    async def _check(self, step: int, index: int, call: CallControl, names: Sequence[str], *, seen: int) -> End | None:
        """Have a call checked. An end, where a limit or a kill switch stopped that."""
        self._asked = True
        self._enter("checking")
        stopped = await make_checks(self._request, self._pinned, step, index, call, names)
        if stopped is None:
            return None
        if stopped.control.kind == "halted":
            return await self._halts.halted(step, call.tool, stopped.content.reason)
        return await self._overruns.met(step, stopped.control.limit, seen=seen)

    async def _ask(
        self, step: int, index: int, call: CallControl, result: CallHead
    ) -> Grant | CallControl | End | None:
        """Put a call before people; see `Asking.ask`."""
        self._asked = True
        await self._halts.clear(step)
        self._enter("waiting_for_people")
        return await self._asking.ask(step, index, call, result)

    async def _visit(
        self, step: int, index: int, call: CallControl, visit: int, grant: Grant | None = None
    ) -> CallHead:
        return await stubs.execute_tool(
            self._tool(call),
            ExecuteTool(
                tenant=self._request.tenant,
                run_id=self._request.run_id,
                definition=self._pinned.definition,
                step=step,
                call=index,
                visit=visit,
                tool=call.tool,
                arguments_digest=call.arguments_digest,
                revision=call.revision,
                grant=grant,
            ),
            wait_s=self._request.store_wait_s,
        )

    def _tool(self, call: CallControl) -> PinnedTool:
        """The pinned tool. Proposals are validated against the pinned tools before they get here."""
        return self._tools[call.tool]

    def _note(self, result: CallHead) -> None:
        self._newest[result.call] = result
        if len(self._lines) < _MAX_LINES:
            effect = f" ({result.control.effect})" if result.control.effect else ""
            self._lines.append(f"step {result.step}: {result.tool} {result.control.status}{effect}")


def _seen(result: CallHead) -> CallSeen:
    return CallSeen(
        tool=result.tool,
        arguments_digest=result.arguments_digest,
        status=result.control.status,
        output_digest=result.control.output_digest,
        wrote=result.control.effect is EffectState.SUCCEEDED,
    )


async def _unbroken(work: Awaitable[CallHead]) -> CallHead:
    """Let a write that has begun come to its end before a cancellation goes on: half a write helps nobody."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
