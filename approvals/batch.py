"""Several decisions in one submission, for low tiers only: each is a decision of its own, bound to its own digest."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import ValidationError

from approvals.batch_rows import MAX_ITEMS, MAX_TIER, seen_batch
from approvals.decide import Decided, NotCast, Outcome, Stands, decide
from approvals.seen import Sight
from approvals.services import Services
from approvals.visitors import Visitor
from approvals.wire import Decide
from approvals.words import DID, REFUSALS
from contracts.base import Record
from contracts.canonical import digest_bytes
from contracts.vote import Verdict
from store.approvals import StoredRequest, find_requests

__all__ = ["Choice", "NotAsSeen", "TierTooHigh", "decide_batch", "in_words", "read_choices", "read_list"]

_AT_ONCE = 4
_FIELD = re.compile(r"verdict-(apr-[a-z2-7]{26})", re.ASCII)
_LISTED = re.compile(r"digest-(apr-[a-z2-7]{26})", re.ASCII)


class Choice(Record):
    """What somebody chose for one request of the list."""

    request_id: str
    posted: Decide


class TierTooHigh(Record):
    """The submission holds a request that must be decided alone: nothing of it was decided."""

    kind: Literal["tier_too_high"] = "tier_too_high"
    request: StoredRequest


class NotAsSeen(Record):
    """The form stood on another list than its requests make: nothing of it was decided."""

    kind: Literal["not_as_seen"] = "not_as_seen"


def read_list(form: Mapping[str, object]) -> tuple[str, ...]:
    """Every request of the list on which the form stood, in its order."""
    return tuple(found[1] for name in form if (found := _LISTED.fullmatch(name)))[: MAX_ITEMS + 1]


def read_choices(form: Mapping[str, object]) -> tuple[Choice, ...] | str:
    """What was chosen, or what is wrong with the form. A request that is left alone is not in it."""
    found: list[Choice] = []
    for name, verdict in form.items():
        match = _FIELD.fullmatch(name)
        if match is None or verdict == "leave":
            continue
        request_id = match[1]
        if verdict not in (Verdict.APPROVE.value, Verdict.DENY.value):
            return "A request of the list can be approved, denied, or left alone."
        reason = form.get(f"reason-{request_id}", "")
        if verdict == Verdict.DENY.value and not str(reason).strip():
            return "Nothing was decided yet: a denial needs its reason. Your choices are kept below."
        try:
            posted = Decide.model_validate(
                {"verdict": verdict, "digest": form.get(f"digest-{request_id}", ""), "reason": reason}
            )
        except ValidationError:
            return "Nothing was decided: a reason is too long or has characters that cannot be kept."
        found.append(Choice(request_id=request_id, posted=posted))
    return tuple(found) if len(found) <= MAX_ITEMS else f"At most {MAX_ITEMS} requests are decided at once."


async def decide_batch(
    services: Services, visitor: Visitor, choices: Sequence[Choice], *, listed: Sequence[str], seen: str
) -> TierTooHigh | NotAsSeen | list[tuple[Choice, Outcome]]:
    """Decide each, some at a time. Of a submission with a higher tier in it nothing is decided.

    `listed`: the requests of the list that was seen; `seen`: its digest.
    """
    async with services.database.tenant(visitor.tenant) as cursor:
        requests = await find_requests(cursor, visitor.tenant, listed)
    high = next((request for request in requests if request.tier > MAX_TIER), None)
    if high is not None:
        return TierTooHigh(request=high)
    body = seen_batch(services.assets, requests)
    if digest_bytes(body.encode()) != seen or not {choice.request_id for choice in choices} <= set(listed):
        return NotAsSeen()
    sight = Sight(seen, lambda _request: body)
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(choice: Choice) -> tuple[Choice, Outcome]:
        async with turn:
            return choice, await decide(services, visitor, choice.request_id, choice.posted, sight)

    return list(await asyncio.gather(*(one(choice) for choice in choices)))


def in_words(outcome: Outcome) -> tuple[bool, str]:
    """Whether the decision is stored, and what became of it."""
    match outcome:
        case Decided(vote=vote, tested=tested) if tested:
            return vote.verdict is Verdict.DENY, f"{DID[vote.verdict]}. {tested}"
        case Decided(vote=vote):
            said = {"accepted": "counted by the run", "refused": "not counted by the run"}
            return vote.state != "refused", f"{DID[vote.verdict]}, {said.get(vote.state, 'signed and stored')}"
        case Stands(vote=vote):
            return True, f"{DID[vote.verdict]} before: that decision stands"
        case NotCast(refusal=refusal):
            return False, REFUSALS[refusal]
        case _:
            return False, "There is no such request, or your account may not decide."
