"""Closing a doubt in the ledger: a person says what became of a write, and the run that waits for it is told."""

from typing import Literal

from approvals.operate import Given, give
from approvals.services import Services
from approvals.visitors import Visitor
from approvals.wire import Closed, DoubtVerdict, GiveOrder, ResolveDoubt
from contracts.audit import EffectResolved
from contracts.base import Record
from contracts.call import EffectState
from contracts.canonical import canonical_bytes
from contracts.command import ResolveUnknown
from policy.commands import COMMAND_SIGN_IN_S, MIN_REASON_CHARACTERS
from store.doubts import CLOCK_SLACK_S, EffectPlace, Settlement, StoredEffect, settle_doubt

__all__ = [
    "STATES",
    "VERDICTS",
    "DoubtLine",
    "DoubtVerdict",
    "NotClosed",
    "line_of",
    "resolve",
]

OLD_S, VERY_OLD_S = 900, 14_400
"""Ages from which a doubt is an alarm, in seconds."""
Rating = Literal["new", "old", "very_old"]
_Final = Literal[EffectState.SUCCEEDED, EffectState.FAILED_FINAL, EffectState.ABANDONED]
STATES: dict[DoubtVerdict, _Final] = {
    "happened": EffectState.SUCCEEDED,
    "did_not_happen": EffectState.FAILED_FINAL,
    "abandon": EffectState.ABANDONED,
}
VERDICTS: dict[DoubtVerdict, str] = {
    "happened": "It happened",
    "did_not_happen": "It did not happen",
    "abandon": "Close it without knowing",
}
_TOLD: dict[DoubtVerdict, str] = {
    "happened": "",
    "did_not_happen": "A person found that this did not happen",
    "abandon": "A person closed this without knowing whether it happened; do not do it again",
}


class NotClosed(Record):
    """Nothing changed."""

    kind: Literal["not_closed"] = "not_closed"
    why: str
    code: Literal["no_such_effect", "not_in_doubt", "credential", "reason", "sign_in", "output"]


async def resolve(services: Services, visitor: Visitor, place: EffectPlace, posted: ResolveDoubt) -> Closed | NotClosed:
    """Ledger and audit in one transaction, then the signed word to the run. The route has asked for the role."""
    session = visitor.session
    if len(posted.reason) < MIN_REASON_CHARACTERS:
        return NotClosed(code="reason", why="Say how you know, in at least three characters.")
    if posted.output is not None and posted.verdict != "happened":
        return NotClosed(code="output", why="Only what happened has an output.")
    state = STATES[posted.verdict]
    entry = EffectResolved(
        step=place.step, call=place.call, visit=1, tool="unknown.tool", state=state, how="person",
        detail=posted.reason, by=session.person, said_twice=posted.cannot_arrive,
    )  # fmt: skip
    told = _TOLD[posted.verdict]
    found = Settlement(
        state=state,
        output=canonical_bytes(posted.output or {}).decode() if posted.verdict == "happened" else None,
        error=f"{told}: {posted.reason}"[:1_000] if told else "",
        by=session.person,
        said_twice=posted.cannot_arrive,
        audit=entry.model_dump_json(),
    )
    async with services.database.tenant(visitor.tenant) as cursor:
        await cursor.execute("select extract(epoch from now())::bigint as now")
        row = await cursor.fetchone()
        now_s = int(row["now"]) if row else 0
        if now_s - int(session.authenticated_at.timestamp()) > COMMAND_SIGN_IN_S:
            return NotClosed(code="sign_in", why="You signed in too long ago for this. Sign in again.")
        settled = await settle_doubt(cursor, place, found)
    match settled.kind:
        case "absent":
            return NotClosed(code="no_such_effect", why="There is no such write.")
        case "known":
            return NotClosed(code="not_in_doubt", why=f"It is not in doubt: the ledger says {settled.state}.")
        case "credential":
            left_s = max((settled.credential_s or 0) + CLOCK_SLACK_S - now_s, 0) + 1
            why = (
                f"What was sent may still arrive for {left_s} s, as long as its credential is good. Wait, or say that "
            )
            return NotClosed(code="credential", why=why + "it cannot arrive although the credential holds.")
        case "settled":
            return Closed(
                state=state, run_told=await _tell(services, visitor, place, posted, over=bool(settled.closed))
            )


async def _tell(
    services: Services, visitor: Visitor, place: EffectPlace, posted: ResolveDoubt, *, over: bool
) -> Literal["run_over", "told", "will_be_told"]:
    if over:
        return "run_over"
    order = ResolveUnknown(step=place.step, call=place.call)
    nonce = f"{place.step}-{place.call}-{posted.verdict}"
    given = await give(services, visitor, place.run_id, GiveOrder(order=order, reason=posted.reason, nonce=nonce))
    return "told" if isinstance(given, Given) and given.command.state == "accepted" else "will_be_told"


class DoubtLine(Record):
    """A write in doubt, as shown."""

    effect: StoredEffect
    age_s: int
    """How long nobody has known."""
    credential_left_s: int
    """How long what was sent may still arrive; 0: not any more."""
    rating: Rating


def line_of(effect: StoredEffect) -> DoubtLine:
    """A write in doubt with its times counted by the store's clock."""
    age_s = int((effect.read_at - effect.in_doubt_since).total_seconds())
    until = effect.credential_expires_at
    left_s = int((until - effect.read_at).total_seconds()) + CLOCK_SLACK_S if until else 0
    rating: Rating = "very_old" if age_s >= VERY_OLD_S else "old" if age_s >= OLD_S else "new"
    return DoubtLine(effect=effect, age_s=age_s, credential_left_s=max(left_s, 0), rating=rating)
