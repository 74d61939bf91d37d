"""From a model's answer to a proposal that may be acted on, or to the precise words that correct it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from pydantic import JsonValue, TypeAdapter, ValidationError

from activities.models import FINISH_TOOL, plain_arguments
from contracts.base import JsonObject
from contracts.canonical import canonical_bytes, digest
from contracts.model import AssistantMessage, Message, ModelReply, ProposedCall, StopReason, ToolMessage, UserMessage
from contracts.tool import Tool
from contracts.turn import CallContent, CallControl, Calls, Finish, Malformed, TurnContent, TurnControl

__all__ = ["MAX_CALLS", "Proposal", "parse_call", "read_proposal", "stored_answer"]

MAX_CALLS = 16
MAX_ARGUMENT_BYTES = 32 * 1024
MAX_TEXT_CHARACTERS = 64 * 1024
_MAX_WHY_CHARACTERS = 2_000
_SPOILED_TEXT_CHARACTERS = 2_000
_MAX_SUMMARY_CHARACTERS = 8_000
_MAX_SHOWN_ERRORS = 5

Problem = Literal[
    "bad_json", "bad_arguments", "unknown_tool", "no_call", "too_large", "two_finishes", "mixed_finish", "truncated",
    "refusal",
]  # fmt: skip
_JSON_OBJECT: TypeAdapter[JsonObject] = TypeAdapter(JsonObject)


@dataclass(frozen=True)
class Proposal:
    """What an answer amounts to."""

    control: TurnControl
    content: TurnContent
    corrections: tuple[Message, ...]
    """What the model is told about a malformed answer; empty for a good one."""


@dataclass(frozen=True)
class _Bad:
    problem: Problem
    message: str


def stored_answer(reply: ModelReply) -> AssistantMessage:
    """The answer as it goes into the transcript: bounded, so that no answer can make the next call impossible."""
    calls = tuple(
        call
        if len(call.arguments_json.encode()) <= MAX_ARGUMENT_BYTES
        else ProposedCall(call_id=call.call_id, tool=call.tool, arguments_json="{}")
        for call in reply.calls[:MAX_CALLS]
    )
    # Of an oversized text the beginning is enough to correct it; keeping more would eat the run's tokens at every step.
    text = reply.text if len(reply.text) <= MAX_TEXT_CHARACTERS else reply.text[:_SPOILED_TEXT_CHARACTERS]
    return AssistantMessage(text=text, calls=calls, opaque=reply.opaque)


def read_proposal(reply: ModelReply, tools: Mapping[str, Tool]) -> Proposal:
    """Judge an answer. One bad call spoils the whole answer: nothing of it runs, and the model is told about each call.

    Args:
        reply: the answer as received.
        tools: the tools that the agent may call, by name.
    """
    oversized = len(reply.calls) > MAX_CALLS or len(reply.text) > MAX_TEXT_CHARACTERS
    if reply.stop is StopReason.REFUSAL:
        return _spoiled(reply, "refusal", f"You refused: {reply.stop_detail}"[:500], [])
    if reply.stop is StopReason.MAX_TOKENS:
        return _spoiled(reply, "truncated", "Your answer was cut off at the output limit. Answer in fewer words.", [])
    if oversized:
        return _spoiled(
            reply, "too_large", f"Your answer was too large. At most {MAX_CALLS} calls and a short text are taken.", []
        )
    if not reply.calls:
        return _spoiled(
            reply, "no_call", "Call a tool, or call finish when the work is done or a person must go on.", []
        )
    finishes = [call for call in reply.calls if call.tool == FINISH_TOOL.name]
    if len(finishes) > 1:
        return _spoiled(reply, "two_finishes", "Call finish once.", [])
    if finishes and len(reply.calls) > 1:
        text = "Call finish alone, after the results of all other calls are known."
        return _spoiled(reply, "mixed_finish", text, [])
    if finishes:
        return _finish(reply, finishes[0])
    parsed = [parse_call(call, tools) for call in reply.calls]
    bad = [item for item in parsed if isinstance(item, _Bad)]
    if bad:
        return _spoiled(reply, bad[0].problem, "", parsed)
    good = [cast("CallContent", item) for item in parsed]
    controls = tuple(
        CallControl(tool=call.tool, arguments_digest=digest(content.arguments))
        for call, content in zip(reply.calls, good, strict=True)
    )
    return Proposal(Calls(calls=controls), TurnContent(text=reply.text, calls=tuple(good)), ())


def parse_call(call: ProposedCall, tools: Mapping[str, Tool]) -> CallContent | _Bad:
    """A call with validated, canonical arguments, or what is wrong with it."""
    tool = tools.get(call.tool)
    if tool is None:
        known = ", ".join(sorted(tools))
        return _Bad("unknown_tool", f"There is no tool {call.tool[:80]!r}. The tools are: {known}, {FINISH_TOOL.name}.")
    raw = _object(call.arguments_json)
    if isinstance(raw, _Bad):
        return raw
    try:
        why, plain = plain_arguments(tool.args_model, raw)
        # Strict: what is not of the declared type is told to the model, never repaired into something it did not say.
        typed = tool.args_model.model_validate_json(json.dumps(plain), strict=True)
        arguments = cast("JsonObject", typed.model_dump(mode="json"))
        canonical_bytes(arguments)
    except ValidationError as error:
        return _Bad("bad_arguments", f"Arguments of {call.tool} are wrong: {_errors(error)}.")
    except ValueError as error:
        return _Bad("bad_arguments", f"Arguments of {call.tool} are wrong: {error}.")
    return CallContent(call_id=call.call_id, arguments=arguments, why=why[:_MAX_WHY_CHARACTERS])


def _finish(reply: ModelReply, call: ProposedCall) -> Proposal:
    raw = _object(call.arguments_json)
    if isinstance(raw, _Bad):
        return _spoiled(reply, raw.problem, "", [raw])
    result, summary, needed = raw.get("result"), raw.get("summary"), raw.get("needed")
    if result not in ("done", "hand_over") or not isinstance(summary, str) or not isinstance(needed, str | None):
        text = 'finish takes result ("done" or "hand_over"), summary (text) and needed (text).'
        return _spoiled(reply, "bad_arguments", "", [_Bad("bad_arguments", text)])
    content = TurnContent(
        text=reply.text, summary=summary[:_MAX_SUMMARY_CHARACTERS], needed=(needed or "")[:_MAX_SUMMARY_CHARACTERS]
    )
    return Proposal(Finish(result=result), content, ())


def _object(text: str) -> JsonObject | _Bad:
    if len(text.encode()) > MAX_ARGUMENT_BYTES:
        return _Bad("too_large", f"The arguments are larger than {MAX_ARGUMENT_BYTES} bytes.")
    try:
        value: object = json.loads(text or "{}", parse_constant=_no_constant, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        return _Bad("bad_json", f"The arguments are not valid JSON: {str(error)[:200]}.")
    if not isinstance(value, dict):
        return _Bad("bad_json", "The arguments must be a JSON object.")
    return _JSON_OBJECT.validate_python(value)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _each_once(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    """An object whose keys differ. Of a key that stands twice, one reader takes the first and another the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for position, (key, _) in enumerate(pairs) if key in dict(pairs[:position]))
        raise ValueError(f"the key {twice[:80]!r} stands there twice")
    return found


def _errors(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [f"{'.'.join(str(part) for part in item['loc']) or 'arguments'}: {item['msg']}" for item in found]
    more = len(lines) - _MAX_SHOWN_ERRORS
    return "; ".join(lines[:_MAX_SHOWN_ERRORS]) + (f"; and {more} more" if more > 0 else "")


def _spoiled(reply: ModelReply, problem: Problem, text: str, parsed: Sequence[CallContent | _Bad]) -> Proposal:
    """A malformed answer: every call of it gets an answer, because providers insist on one for each."""
    calls = stored_answer(reply).calls
    told: list[Message] = []
    for index, call in enumerate(calls):
        verdict = parsed[index] if index < len(parsed) else None
        words = (
            verdict.message
            if isinstance(verdict, _Bad)
            else text or "Not run: another call of the same answer was wrong."
        )
        told.append(
            ToolMessage(
                call_id=call.call_id,
                tool=call.tool,
                text=json.dumps({"error": words}, ensure_ascii=False),
                is_error=True,
            )
        )
    if not calls:
        told.append(UserMessage(text=text))
    corrections = tuple(message.text for message in told)
    return Proposal(
        Malformed(problem=problem),
        TurnContent(text=reply.text[:_SPOILED_TEXT_CHARACTERS], corrections=corrections),
        tuple(told),
    )
