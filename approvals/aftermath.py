"""What became of a call that people approved, as far as the effects ledger knows."""

from datetime import timedelta

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from approvals.words import at
from contracts.base import Record
from contracts.call import EffectState
from store.approvals import StoredRequest
from store.doubts import EffectPlace, find_effect

__all__ = ["Aftermath", "aftermath_of"]

_SOON = timedelta(minutes=1)
_UNDER_WAY = (EffectState.PREPARED, EffectState.IN_FLIGHT)
_WORDS = {
    EffectState.PREPARED: "It is about to be sent.",
    EffectState.IN_FLIGHT: "It is being sent.",
    EffectState.SUCCEEDED: "It was done",
    EffectState.FAILED_FINAL: "It was refused or failed, without an effect,",
    EffectState.UNKNOWN: "It was sent, and nobody knows yet whether it happened.",
    EffectState.ABANDONED: "It was sent, and whether it happened will never be known.",
}
_TIMED = (EffectState.SUCCEEDED, EffectState.FAILED_FINAL)


class Aftermath(Record):
    """Shown beside the decision: it moves, so no vote binds it."""

    words: str
    """Empty where the ledger has nothing of it: it has not run yet, was refused by the gate, or only reads."""
    key: str = ""
    """Of the write: where its page is."""
    is_bad: bool = False
    """Whether somebody should look."""
    again: bool = False
    """Whether more is to be known within seconds: then the open page looks again by itself."""


async def aftermath_of(cursor: AsyncCursor[DictRow], request: StoredRequest) -> Aftermath | None:
    """Of a granted request; None of any other."""
    if request.state != "granted":
        return None
    effect = await find_effect(cursor, EffectPlace(request.tenant, request.run_id, request.step, request.call))
    is_fresh = request.read_at - (request.closed_at or request.opened_at) < _SOON
    if effect is None or effect.request_id != request.request_id:
        return Aftermath(words="", again=is_fresh)
    words = _WORDS[effect.state]
    if effect.state in _TIMED:
        words += f" {at(effect.updated_at)}."
    return Aftermath(
        words=words,
        key=effect.key,
        is_bad=effect.state not in (*_UNDER_WAY, EffectState.SUCCEEDED),
        again=is_fresh and effect.state in _UNDER_WAY,
    )
