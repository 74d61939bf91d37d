"""From a recorded call to the reasons of its decision: what decided, what was tried, what would be decided now."""

import json
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from activities.bundles import overlay_files, policy_files
from activities.registry import Registry
from cli.output import CliError, Exit
from cli.run_source import find_run, history_from_file, history_of, tenants_of
from contracts.base import JsonObject, Record
from contracts.decision import AuthorizationRequest, Decision, DecisionRecord, PrincipalVerdict, StandingUse
from incidents.history import BrokenHistoryError, HistoryGoneError, RunHistory
from incidents.payloads import UnreadablePayloadError
from incidents.story import Story, StoryCall, StoryVisit
from incidents.tell import tell
from policy.bundle import Bundle, overlay_name, policies_of
from policy.decide import decide, tried
from settings import Settings
from settings.sources import ROOT

__all__ = [
    "Explanation",
    "PolicyShown",
    "Recorded",
    "RungTried",
    "decision_of_file",
    "decision_of_run",
    "explained",
    "place_of",
]

_WHERE = "RUN/STEP/CALL, such as run-…/3/0"
_FILE_MAX_BYTES = 4 * 1024 * 1024


class Recorded(Record):
    """A decision as it was recorded, or a request that was never decided."""

    title: str
    """Where it comes from."""
    request: AuthorizationRequest
    record: DecisionRecord | None
    status: str = ""
    """What became of the visit."""


class PolicyShown(Record):
    """A policy that determined a decision."""

    id: str
    effect: str
    """Empty for a policy that no file has any more."""
    place: str
    """File and line."""
    reason: str
    text: str
    """Its Cedar text as it is now."""


class RungTried(Record):
    """What is granted, and what policy says then."""

    rung: str
    """Empty: what was held."""
    words: str
    """Who that is."""
    allowed: bool
    policies: tuple[str, ...]
    errors: tuple[str, ...]
    principals: tuple[PrincipalVerdict, ...]


class Explanation(Record):
    """Why a call was decided as it was."""

    title: str
    status: str
    request: AuthorizationRequest
    granted: tuple[str, ...]
    standing: StandingUse | None
    """The standing approval that held, where nobody was asked about this very call."""
    decision: Decision
    principals: tuple[PrincipalVerdict, ...]
    bundle_digest: str
    """Of the policies that decided."""
    current_digest: str
    policies: tuple[PolicyShown, ...]
    """Those that determined it, with their texts of now."""
    tried: tuple[RungTried, ...]
    """Under the current policies."""
    now: Decision | None
    """The decision under the current policies; None where that was not asked."""
    changed: bool = False
    """Whether it is another one, or has other reasons."""


def explained(
    settings: Settings, registry: Registry, bundle: Bundle, recorded: Recorded, *, current: bool
) -> Explanation:
    """Everything that one screen shows."""
    granted = recorded.record.granted if recorded.record else ()
    persons = recorded.record.approvers if recorded.record else 0
    kind = recorded.record.grant_kind if recorded.record else "people"
    now = decide(bundle, recorded.request, granted=granted, approvers=persons, kind=kind)
    record = recorded.record or now
    then, today = record.decision, now.decision
    changed = (then.kind, _asked(then), _ids(then)) != (today.kind, _asked(today), _ids(today))
    ids = dict.fromkeys([*_ids(then), *(_ids(today) if current else ())])
    return Explanation(
        title=recorded.title,
        status=recorded.status,
        request=recorded.request,
        granted=granted,
        standing=recorded.record.standing if recorded.record else None,
        decision=then,
        principals=record.principals,
        bundle_digest=record.bundle_digest,
        current_digest=bundle.digest,
        policies=_shown(settings, registry, list(ids), {r.policy: r.text for r in (*then.reasons, *today.reasons)}),
        tried=tuple(
            RungTried(
                rung=step.rung.id if step.rung else "",
                words=step.rung.in_words() if step.rung else ", ".join(granted),
                allowed=step.answer.allowed,
                policies=step.answer.policies,
                errors=step.answer.errors,
                principals=step.answer.principals,
            )
            for step in tried(bundle, recorded.request, granted=granted, approvers=persons, kind=kind)
        ),
        now=today if current else None,
        changed=changed,
    )


def _ids(decision: Decision) -> tuple[str, ...]:
    return tuple(reason.policy for reason in decision.reasons)


def _asked(decision: Decision) -> str:
    return decision.requirement.id if decision.kind == "needs_approval" else ""


def _shown(settings: Settings, registry: Registry, ids: list[str], reasons: dict[str, str]) -> tuple[PolicyShown, ...]:
    files = {
        **policy_files(registry),
        **{overlay_name(tenant): file for tenant, file in overlay_files(settings.overlays_dir).items()},
    }
    known: dict[str, PolicyShown] = {}
    for file in files.values():
        try:
            policies = policies_of(file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError):
            continue  # `policy check` says so
        for policy in policies:
            place = f"{_from_root(file)}:{policy.line}"
            known[policy.id] = PolicyShown(
                id=policy.id, effect=policy.effect, place=place, reason=policy.reason, text=policy.text
            )
    gone = {name: PolicyShown(id=name, effect="", place="", reason=reasons.get(name, ""), text="") for name in ids}
    return tuple(known.get(name, gone[name]) for name in ids)


def place_of(file: str) -> str:
    """A file of a finding as an editor opens it from here."""
    return _from_here(ROOT / file) if (ROOT / file).exists() else file


def _from_root(file: Path) -> str:
    return _from_here(file)


def _from_here(file: Path) -> str:
    here = Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else str(file)


async def decision_of_run(settings: Settings, call: str, tenant: str | None) -> Recorded:
    """A recorded call, from its run's history."""
    run, _, rest = call.partition("/")
    numbers = rest.split("/") if rest else []
    if not all(number.isdecimal() for number in numbers) or len(numbers) > len(("step", "call", "visit")):
        raise CliError(f"{call} is neither a file nor {_WHERE}.")
    run_id = await find_run(settings, run, tenants_of(settings, tenant))
    try:
        story = _story(await history_of(settings, run_id), run_id)
    except HistoryGoneError as error:
        raise CliError(f"{error}: its retention has passed. An exported history can be explained.", Exit.BAD) from None
    if not numbers:
        raise CliError(f"name the call: {_WHERE}. {_calls(story)}")
    chosen = [int(number) for number in numbers]
    return _of_story(story, chosen[0], chosen[1] if len(chosen) > 1 else 0, chosen[2] if len(chosen) > 2 else None)  # noqa: PLR2004 - step, call, visit


def decision_of_file(path: Path, step: int, index: int) -> Recorded:
    """A request, a decision, or a call of an exported history, from a file."""
    try:
        document: object = json.loads(path.read_bytes()) if path.stat().st_size <= _FILE_MAX_BYTES else None
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}. Check the path.") from None
    except ValueError as error:
        raise CliError(f"{path} is no JSON document: {error}.") from None
    found = cast("JsonObject", document) if isinstance(document, dict) else {}
    try:
        if "context" in found:
            request = AuthorizationRequest.model_validate(found)
            return Recorded(title=str(path), request=request, record=None)
        if "request" in found:
            record = DecisionRecord.model_validate(found)
            return Recorded(title=str(path), request=record.request, record=record)
    except ValidationError as error:
        detail = error.errors()[0]
        raise CliError(f"{path}: {'.'.join(map(str, detail['loc']))}: {detail['msg']}.") from None
    return _of_story(_story(history_from_file(path), str(path)), step, index, None)


def _story(history: RunHistory, target: str) -> Story:
    try:
        return tell(history)
    except (BrokenHistoryError, UnreadablePayloadError) as error:
        raise CliError(f"{target} cannot be explained: {error}.", Exit.BAD) from None


def _of_story(story: Story, step: int, index: int, number: int | None) -> Recorded:
    calls = {(turn.number, call.index): call for turn in story.steps for call in turn.calls}
    call = calls.get((step, index))
    if call is None:
        raise CliError(f"{story.run_id} has no call {index} at step {step}. {_calls(story)}")
    visit = _visit(call, number)
    if visit is None or visit.decision is None:
        which = f"visit {number}" if number is not None else "no visit"
        words = f"{which} of step {step} call {index} was decided by policy"
        status = call.visits[-1].status if call.visits else None
        raise CliError(f"{words}{f': it was {status.value}' if status else ''}. {_calls(story)}", Exit.BAD)
    return Recorded(
        title=f"{call.tool} · {story.run_id} step {step} call {index} visit {visit.visit}",
        request=visit.decision.request,
        record=visit.decision,
        status=visit.status.value if visit.status else "",
    )


def _visit(call: StoryCall, number: int | None) -> StoryVisit | None:
    """The visit of that number; without one the last that policy decided."""
    if number is not None:
        return next((visit for visit in call.visits if visit.visit == number), None)
    return next((visit for visit in reversed(call.visits) if visit.decision is not None), None)


def _calls(story: Story) -> str:
    known = [
        f"{turn.number}/{call.index} {call.tool}"
        for turn in story.steps
        for call in turn.calls
        if _visit(call, None) is not None
    ]
    return f"Decided calls: {', '.join(known) or 'none'}."
