"""The gate's flow for one visit: load, judge, admit, act, finish; again from the start whenever something changed."""

import dataclasses
import time
from typing import Literal

from temporalio.exceptions import ApplicationError

from activities.engine import Engine, engine_fault
from activities.gate.alerts import alert_of_denial
from activities.gate.breaker import Breakers
from activities.gate.counting import drafts_only_refusal, refusal_of_destination, turn, with_limits
from activities.gate.finish import TAKEN_OVER
from activities.gate.foreseen import Foreseen
from activities.gate.judgement import Judgement, judge
from activities.gate.reads import perform_read
from activities.gate.unsettled import clear_doubt, tell_known
from activities.gate.values import RunValues
from activities.gate.visit import (
    StoredControl,
    Visit,
    control_of,
    key_of,
    result_of,
    schema_unchanged,
    stored_result,
    visit_of,
)
from activities.gate.writes import ledger_columns, perform_write
from activities.spans import tool_visited
from activities.transcript import message_row
from contracts.audit import CallDecided
from contracts.call import CallResult, CallStatus, ExecuteTool
from contracts.decision import DecisionRecord
from contracts.run_activities import TAKEN_OVER as RUN_TAKEN_OVER
from contracts.tool import Effect, Tier, Tool
from policy.cedar import entity_id
from policy.request import missing_steps
from store.journal import Admission, AdmissionRequest, CallKey, LoadedCall, admit_call, load_call
from store.revisions import edits_of

__all__ = ["Gate"]

MAX_ROUNDS = 32
"""How often one visit starts over because the run, the agent or the ledger changed under it."""
_THE_DAY = Admission(kind="stale", fence=0, effect_fence=0, detail="today")


class Gate:
    """Decides and performs one tool call. What it keeps between calls is a cache of recorded values."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._values = RunValues()
        self._foreseen = Foreseen()
        self._breakers = Breakers(engine)
        self._sees_the_day = False

    def values_known(self, tenant: str, run_id: str) -> int:
        """Sequence number up to which the recorded values of a run are indexed here."""
        return self._values.known_until(tenant, run_id)

    def forget(self, tenant: str, run_id: str) -> None:
        """Drop what is kept of a run, when a statement about it failed that others were committed before."""
        self._values.forget(tenant, run_id)

    def foresee(self, key: CallKey, loaded: LoadedCall, values_after: int) -> None:
        """Take what was read about a call that will be visited next."""
        self._foreseen.put(key, loaded, values_after)

    async def execute(self, request: ExecuteTool) -> CallResult:
        """Perform a visit.

        Returns:
            What became of it; the same again for every repetition of the same visit.

        Raises:
            ApplicationError: `EngineFault` for a call that the run never proposed, `LeaseHeld` while an earlier attempt
                may still be sending, `TakenOver` when a later one has the call or the run changes without rest.
            StoreDown: nothing is known; Temporal tries again.
        """
        repeated = taken_over = False
        began_ns = time.time_ns()
        for _ in range(MAX_ROUNDS):
            visit = await self._load(request)
            if visit.loaded.stored:
                return stored_result(visit)
            if taken_over:
                break
            outcome = await self._round(visit, repeated=repeated)
            if isinstance(outcome, CallResult):
                await self._breakers.note(request.tenant, outcome)
                tool_visited(request, visit.agent, outcome, began_ns)
                return outcome
            taken_over = outcome is TAKEN_OVER
            if outcome.detail == "repeated":
                repeated = not repeated
        raise ApplicationError(f"step {request.step} call {request.call} is worked on elsewhere", type=RUN_TAKEN_OVER)

    def zone_of(self, tenant: str) -> str | None:
        """Whose midnight ends the day, where policies look at what the day has counted; else None."""
        return self._engine.limits.tenant(tenant).timezone if self._sees_the_day else None

    async def _load(self, request: ExecuteTool) -> Visit:
        agent = await self._engine.definition(request.tenant, request.definition)
        known = self._values.known_until(request.tenant, request.run_id)
        key = key_of(request)
        loaded = self._foreseen.take(key, known) or await load_call(
            self._engine.db, key, agent=agent.name, tool=request.tool, values_after=known,
            zone=self.zone_of(request.tenant),
        )  # fmt: skip
        if loaded is None:
            engine_fault(f"there is no run {request.run_id} in tenant {request.tenant}")
        edits = await edits_of(self._engine.db, key, request.revision)
        visit = visit_of(self._engine, request, agent, loaded, edits)
        labels = {name: tool.labels for name, tool in visit.tools.items()}
        values, records = self._values.extended(request.tenant, request.run_id, known, loaded, labels)
        return dataclasses.replace(visit, values=values, records=records)

    async def _round(self, visit: Visit, *, repeated: bool) -> CallResult | Admission:
        """One try: a result, or the reason to start over."""
        tool = visit.tool
        if visit.loaded.settled_visit is not None:
            engine_fault(f"visit {visit.loaded.settled_visit} settled this call already")
        if visit.loaded.effect is not None:
            known = await tell_known(self._engine, visit)
            if known is not None:
                return known
        if tool is None or not schema_unchanged(self._engine, visit.pinned, tool):
            if visit.was_sent:
                words = f"It is not known whether this happened, and {visit.pinned.name} has changed since."
                return await self._settle(visit, CallStatus.UNKNOWN, words, told=False)
            return await self._settle(
                visit, CallStatus.REFUSED, f"{visit.pinned.name} is not the version that this run began with."
            )
        resend = False
        if visit.loaded.effect is not None:
            cleared = await clear_doubt(self._engine, visit, tool)
            if isinstance(cleared, CallResult | Admission):
                return cleared
            resend = cleared == "resend"
        try:
            barred = await self._barred(visit, tool)
            if barred is not None:
                return barred
            judgement = await judge(self._engine, visit, tool, repeated=repeated)
            self._sees_the_day = judgement.sees_the_day
            if judgement.sees_the_day and visit.loaded.today is None:
                return _THE_DAY  # a policy began to look at the day: it is read, and decided again
        except ValueError as error:
            return await self._settle(visit, CallStatus.REFUSED, f"{tool.name} cannot take these arguments: {error}")
        return await self._act(visit, tool, judgement, repeated=repeated, resend=resend)

    async def _barred(self, visit: Visit, tool: Tool) -> CallResult | Admission | None:
        """The end of a visit that policy need not be asked about; None: it must be asked."""
        if visit.loaded.halted_by:
            return await self._halted(visit, visit.loaded.halted_by)
        if not visit.loaded.agent or not visit.loaded.agent.enabled:
            return await self._halted(visit, f"agent {visit.agent.name} is disabled")
        missing = missing_steps(visit.agent, tool.name, visit.loaded.run.completed)
        if missing:
            words = f"Not yet: {', '.join(missing)} must complete first. Nothing was counted; propose this again after."
            return await self._settle(visit, CallStatus.RETRY_AFTER, words)
        refusal = refusal_of_destination(self._engine, visit, tool)
        return await self._settle(visit, CallStatus.REFUSED, f"Refused: {refusal}.") if refusal else None

    async def _act(
        self, visit: Visit, tool: Tool, judgement: Judgement, *, repeated: bool, resend: bool
    ) -> CallResult | Admission:
        """Carry out what policy says."""
        kind = judgement.record.decision.kind
        if resend and kind != "allow":
            # It may have happened already: saying "denied" to the model would be a claim that nobody can make.
            words = "It is not known whether this happened, and policy does not let it be sent again."
            return await self._settle(
                visit, CallStatus.UNKNOWN, words, told=False, judgement=judgement, repeated=repeated
            )
        match kind:
            case "deny":
                await alert_of_denial(self._engine, visit, judgement.record)
                return await self._settle(
                    visit, CallStatus.DENIED, _denial(judgement.record), judgement=judgement, repeated=repeated
                )
            case "needs_approval":
                return await self._settle(
                    visit, CallStatus.NEEDS_APPROVAL, judgement.void, told=False, judgement=judgement, repeated=repeated
                )
            case "needs_check":
                return await self._settle(
                    visit, CallStatus.NEEDS_CHECK, "", told=False, judgement=judgement, repeated=repeated
                )
            case "allow":
                pass
        refusal = drafts_only_refusal(visit, tool, _tier_of(judgement.record))
        if refusal:
            return await self._settle(visit, CallStatus.REFUSED, refusal, judgement=judgement, repeated=repeated)
        cut_off_s = None if visit.was_sent else await self._breakers.wait_s(visit.request.tenant, tool.name)
        if cut_off_s is not None:
            why = f"{tool.name} is cut off, because too many of its calls gave no clear answer"
            return await self._wait(visit, cut_off_s, why, judgement, repeated=repeated)
        return await self._admit(visit, tool, judgement, repeated=repeated, resend=resend)

    async def _admit(
        self, visit: Visit, tool: Tool, judgement: Judgement, *, repeated: bool, resend: bool
    ) -> CallResult | Admission:
        """Count the call and perform it; or say why it is not admitted."""
        record = judgement.record
        verdict: Literal["read", "write"] = "write" if tool.effect is Effect.WRITE else "read"
        asked = AdmissionRequest(
            agent=visit.agent.name,
            tool=tool.name,
            version=visit.loaded.run.version,
            agent_version=visit.loaded.agent.version if visit.loaded.agent else 0,
            repeated=repeated,
            verdict=verdict,
            audit=_decided(visit, "admitted", None, "", judgement),
            effect=ledger_columns(visit, tool, judgement.request_id, resend=resend) if verdict == "write" else None,
            standing=judgement.standing.counted if judgement.standing else None,
        )
        admission = await admit_call(
            self._engine.db,
            visit.key,
            with_limits(self._engine, visit, tool, asked, sees_the_day=judgement.sees_the_day),
        )
        match admission.kind:
            case "admitted" if verdict == "write":
                return await perform_write(self._engine, visit, tool, admission, record)
            case "admitted":
                return await perform_read(self._engine, visit, tool, admission, record)
            case "halted":
                return await self._halted(visit, admission.detail)
            case "limit":
                return await self._settle(
                    visit, CallStatus.LIMIT_REACHED, "", told=False, limit=admission.detail, judgement=judgement,
                    repeated=repeated,
                )  # fmt: skip
            case "rate":
                why = f"{tool.name} was called as often as its {admission.detail.replace('_', ' ')} allows"
                return await self._wait(visit, admission.retry_after_s, why, judgement, repeated=repeated)
            case "deed_open":
                words = f"The same deed is under way or in doubt ({admission.detail}); it is not done twice."
                return await self._settle(visit, CallStatus.REFUSED, words, judgement=judgement, repeated=repeated)
            case _:
                return admission

    async def _wait(
        self, visit: Visit, wait_s: float, why: str, judgement: Judgement, *, repeated: bool
    ) -> CallResult | Admission:
        """End a visit whose call must come back later. It costs no quota."""
        found = turn(visit, wait_s, why)
        return await self._settle(
            visit, CallStatus.RETRY_AFTER, found.words, told=found.told, retry_after_s=found.retry_after_s,
            judgement=judgement, repeated=repeated,
        )  # fmt: skip

    async def _halted(self, visit: Visit, by: str) -> CallResult | Admission:
        return await self._settle(visit, CallStatus.HALTED, f"halted: {by}", told=False)

    async def _settle(
        self,
        visit: Visit,
        status: CallStatus,
        message: str,
        *,
        told: bool = True,
        limit: str = "",
        retry_after_s: float | None = None,
        judgement: Judgement | None = None,
        repeated: bool = False,
    ) -> CallResult | Admission:
        """End a visit without running the tool."""
        record = judgement.record if judgement else None
        control = control_of(status, told=told, limit=limit, retry_after_s=retry_after_s, decision=record)
        answer = message_row(visit.answer(error=message)) if told else None
        admission = await admit_call(
            self._engine.db,
            visit.key,
            AdmissionRequest(
                agent=visit.agent.name,
                tool=visit.pinned.name,
                version=visit.loaded.run.version,
                agent_version=visit.loaded.agent.version if visit.loaded.agent else 0,
                repeated=repeated,
                verdict="record",
                control=StoredControl(**control.model_dump(), message=message).model_dump_json(),
                message=answer,
                audit=_decided(visit, "settled", status, message, judgement),
            ),
        )
        if admission.kind != "recorded":
            return admission
        return result_of(visit, control, message=message, decision=record)


def _tier_of(record: DecisionRecord) -> int:
    """The tier that was decided on: never below the tool's own."""
    tier = record.request.context.get("tier")
    return tier if isinstance(tier, int) else max(Tier)


def _denial(record: DecisionRecord) -> str:
    if record.decision.kind != "deny":
        return ""
    reasons = [f"{reason.text} ({reason.policy})" for reason in record.decision.reasons]
    if record.decision.errors:
        reasons.append("the decision could not be made, so nothing is allowed")
    unpermitted = [entity_id(one.principal) for one in record.principals if not one.allowed and not one.policies]
    nobody = f"no policy permits this call to {' and '.join(unpermitted)}" if unpermitted else "no policy permits it"
    return "Denied by policy: " + ("; ".join(reasons) or nobody) + "."


def _decided(
    visit: Visit,
    verdict: Literal["admitted", "settled"],
    status: CallStatus | None,
    message: str,
    judgement: Judgement | None,
) -> str:
    traces = judgement.traces if judgement else {}
    return CallDecided(
        step=visit.request.step,
        call=visit.request.call,
        visit=visit.request.visit,
        tool=visit.request.tool,
        arguments_digest=visit.request.arguments_digest,
        verdict=verdict,
        status=status,
        message=message,
        decision=judgement.record if judgement else None,
        evidence={name: trace.model_dump(mode="json", exclude_defaults=True) for name, trace in traces.items()},
    ).model_dump_json()
