"""The gate's flow for one visit: load, judge, admit, act, finish; again from the start whenever something changed."""

import dataclasses
import time
from typing import Literal

from temporalio.exceptions import ApplicationError

from activities.engine import Engine, engine_fault
from activities.gate.alerts import alert_of_denial
from activities.gate.breaker import Breakers
from activities.gate.counting import drafts_only_refusal, refusal_of_destination, turned_away, with_limits
from activities.gate.finish import TAKEN_OVER
from activities.gate.foreseen import Foreseen
from activities.gate.judgement import Judgement, judge
from activities.gate.reads import perform_read
from activities.gate.settle import VisitEnd, decided, settle
from activities.gate.unsettled import clear_doubt, known_by_now
from activities.gate.values import RunValues
from activities.gate.visit import (
    Visit,
    key_of,
    schema_unchanged,
    stored_result,
    visit_of,
)
from activities.gate.writes import ledger_columns, perform_write
from activities.spans import tool_visited
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
        known = known_by_now(visit)
        if known is not None:
            return await settle(self._engine, visit, known)
        if tool is None or not schema_unchanged(self._engine, visit.pinned, tool):
            return await settle(self._engine, visit, _changed(visit))
        resend = False
        if visit.loaded.effect is not None:
            cleared = await clear_doubt(self._engine, visit, tool)
            if isinstance(cleared, CallResult | Admission):
                return cleared
            resend = cleared == "resend"
        try:
            barred = self._barred(visit, tool)
            if barred is not None:
                return await settle(self._engine, visit, barred)
            judgement = await judge(self._engine, visit, tool, repeated=repeated)
        except ValueError as error:
            words = f"{tool.name} cannot take these arguments: {error}"
            return await settle(self._engine, visit, VisitEnd(CallStatus.REFUSED, words))
        self._sees_the_day = judgement.sees_the_day
        if judgement.sees_the_day and visit.loaded.today is None:
            return _THE_DAY  # a policy began to look at the day: it is read, and decided again
        found = await self._withheld(visit, tool, judgement, resend=resend)
        found = found or await self._admit(visit, tool, judgement, repeated=repeated, resend=resend)
        if isinstance(found, VisitEnd):
            return await settle(self._engine, visit, found, judgement, repeated=repeated)
        return found

    def _barred(self, visit: Visit, tool: Tool) -> VisitEnd | None:
        """The end of a visit that policy need not be asked about; None: it must be asked."""
        if visit.loaded.halted_by:
            return _halted(visit.loaded.halted_by)
        if not visit.loaded.agent or not visit.loaded.agent.enabled:
            return _halted(f"agent {visit.agent.name} is disabled")
        missing = missing_steps(visit.agent, tool.name, visit.loaded.run.completed)
        if missing:
            words = f"Not yet: {', '.join(missing)} must complete first. Nothing was counted; propose this again after."
            return VisitEnd(CallStatus.RETRY_AFTER, words)
        refusal = refusal_of_destination(self._engine, visit, tool)
        return VisitEnd(CallStatus.REFUSED, f"Refused: {refusal}.") if refusal else None

    async def _withheld(self, visit: Visit, tool: Tool, judgement: Judgement, *, resend: bool) -> VisitEnd | None:
        """The end of a visit whose call is not to be made now, by policy or for another reason; None: it is made."""
        kind = judgement.record.decision.kind
        if resend and kind != "allow":
            # It may have happened already: saying "denied" to the model would be a claim that nobody can make.
            words = "It is not known whether this happened, and policy does not let it be sent again."
            return VisitEnd(CallStatus.UNKNOWN, words, told=False)
        match kind:
            case "deny":
                await alert_of_denial(self._engine, visit, judgement.record)
                return VisitEnd(CallStatus.DENIED, _denial(judgement.record))
            case "needs_approval":
                return VisitEnd(CallStatus.NEEDS_APPROVAL, judgement.void, told=False)
            case "needs_check":
                return VisitEnd(CallStatus.NEEDS_CHECK, told=False)
            case "allow":
                pass
        refusal = drafts_only_refusal(visit, tool, _tier_of(judgement.record))
        if refusal:
            return VisitEnd(CallStatus.REFUSED, refusal)
        cut_off_s = None if visit.was_sent else await self._breakers.wait_s(visit.request.tenant, tool.name)
        if cut_off_s is None:
            return None
        why = f"{tool.name} is cut off, because too many of its calls gave no clear answer"
        return turned_away(visit, cut_off_s, why)

    async def _admit(
        self, visit: Visit, tool: Tool, judgement: Judgement, *, repeated: bool, resend: bool
    ) -> CallResult | Admission | VisitEnd:
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
            audit=decided(visit, "admitted", judgement=judgement),
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
                # Recorded without the decision: nothing came of it.
                return await settle(self._engine, visit, _halted(admission.detail))
            case "limit":
                return VisitEnd(CallStatus.LIMIT_REACHED, told=False, limit=admission.detail)
            case "rate":
                why = f"{tool.name} was called as often as its {admission.detail.replace('_', ' ')} allows"
                return turned_away(visit, admission.retry_after_s, why)
            case "deed_open":
                words = f"The same deed is under way or in doubt ({admission.detail}); it is not done twice."
                return VisitEnd(CallStatus.REFUSED, words)
            case _:
                return admission


def _halted(by: str) -> VisitEnd:
    return VisitEnd(CallStatus.HALTED, f"halted: {by}", told=False)


def _changed(visit: Visit) -> VisitEnd:
    """The end of a visit whose tool is not the one that the run pinned."""
    name = visit.pinned.name
    if visit.was_sent:
        return VisitEnd(
            CallStatus.UNKNOWN, f"It is not known whether this happened, and {name} has changed since.", told=False
        )
    return VisitEnd(CallStatus.REFUSED, f"{name} is not the version that this run began with.")


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
