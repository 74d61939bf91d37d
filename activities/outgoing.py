"""Output rules at work: read from their file as it is now, applied to a model's answer and to a call at the gate."""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from activities.models import FINISH_TOOL
from activities.proposal import MAX_ARGUMENT_BYTES, MAX_CALLS
from contracts.base import JsonObject
from contracts.model import ModelReply, ProposedCall
from contracts.outgoing import Outgoing, OutputRule, OutputRules, Redaction
from contracts.tool import Effect, Tier, Tool
from policy.outgoing import FINISH, OutgoingPolicy, OwnRecords, Surface, findings, surface_of
from policy.sensitive import Detectors, TextTooLong
from settings.errors import SettingsError
from settings.yaml_files import load_yaml

__all__ = ["OutgoingRules", "OutgoingRulesBroken", "outgoing_of", "screened"]

_SETTLED_NS = 2_000_000_000
"""A file changed less than this ago may change again within one tick of its clock: it is read again."""
_FINISH_TEXTS = ("summary", "needed")
_FINISH = Surface(
    tool=FINISH, effect=Effect.WRITE, tier=Tier.READ_ONLY, service="", customer_visible=False, prose=_FINISH_TEXTS
)
_WITHHELD = "[withheld: the output rules cannot be used]"
_BROKEN = Outgoing(classes=("rules",), action="block")
_logger = logging.getLogger(__name__)


class OutgoingRulesBroken(ValueError):  # noqa: N818 - said of the rules
    """The file of the output rules cannot be used: nothing may leave until it is corrected."""


class OutgoingRules:
    """Hands out the rules as the file has them now. A file that cannot be used lets nothing out, until it changes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp: tuple[int, ...] = ()
        self._read_ns = 0
        self._held: OutgoingPolicy | OutgoingRulesBroken | None = None

    def current(self) -> OutgoingPolicy:
        """The rules.

        Raises:
            OutgoingRulesBroken: with what is wrong, and where.
        """
        stamp = self._stamp_now()
        settled = self._read_ns - max(stamp[:2], default=0) > _SETTLED_NS
        if self._held is None or stamp != self._stamp or not settled:
            self._stamp, self._read_ns = stamp, time.time_ns()
            self._hold(self._read())
        if isinstance(self._held, OutgoingPolicy):
            return self._held
        raise self._held or OutgoingRulesBroken("never read")

    def _stamp_now(self) -> tuple[int, ...]:
        try:
            status = self._file.stat()
        except OSError:
            return ()
        return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)

    def _read(self) -> OutgoingPolicy | OutgoingRulesBroken:
        try:
            file = load_yaml(self._file, OutputRules)
            if isinstance(self._held, OutgoingPolicy) and self._held.file == file:
                return self._held
            return OutgoingPolicy(file, Detectors(file))
        except (SettingsError, ValueError) as error:
            return OutgoingRulesBroken(f"{self._file}: {error}" if not isinstance(error, SettingsError) else str(error))

    def _hold(self, found: OutgoingPolicy | OutgoingRulesBroken) -> None:
        if isinstance(found, OutgoingRulesBroken) and str(found) != str(self._held):
            _logger.error("nothing may leave with a tool call: %s", found)
        self._held = found


def screened(
    source: OutgoingRules,
    agent: Sequence[OutputRule],
    reply: ModelReply,
    tools: Mapping[str, Tool],
    messages: Callable[[], Sequence[JsonObject]],
) -> tuple[ModelReply, tuple[Redaction, ...]]:
    """An answer with what rules redact replaced, before anything is stored, shown, digested or decided.

    Args:
        source: the organisation's rules.
        agent: the agent's own.
        reply: as received.
        tools: the tools that the agent may call, by name.
        messages: the transcript so far; asked for only where something was found.
    """
    try:
        rules = source.current()
    except OutgoingRulesBroken:
        # Calls are denied at the gate. A finish passes no gate.
        return _without_finish_texts(reply), ()
    calls: list[ProposedCall] = []
    done: list[Redaction] = []
    records: OwnRecords | None = None
    for position, call in enumerate(reply.calls):
        arguments = _arguments(call) if position < MAX_CALLS else None
        surface = _surface(call, tools)
        if arguments is None or surface is None:
            calls.append(call)
            continue
        try:
            found = findings(_searched(call, arguments), rules.detectors)
        except TextTooLong:
            calls.append(call)
            continue
        if not found:
            calls.append(call)
            continue
        records = records or _records(messages(), tools)
        resource = _resource(tools.get(call.tool), arguments)
        replaced, counted = rules.redact(
            _searched(call, arguments), found, surface, agent, records, resource, call=position
        )
        done += counted
        text = json.dumps({**arguments, **replaced}, ensure_ascii=False) if counted else call.arguments_json
        calls.append(call.model_copy(update={"arguments_json": text}))
    return (reply.model_copy(update={"calls": tuple(calls)}), tuple(done)) if done else (reply, ())


def outgoing_of(
    source: OutgoingRules, agent: Sequence[OutputRule], tool: Tool, arguments: JsonObject, records: OwnRecords
) -> Outgoing:
    """What policy is told about what a call would send out."""
    try:
        rules = source.current()
    except OutgoingRulesBroken:
        return _BROKEN
    return rules.judge(arguments, surface_of(tool), agent, records, _resource(tool, arguments))


def _surface(call: ProposedCall, tools: Mapping[str, Tool]) -> Surface | None:
    if call.tool == FINISH_TOOL.name:
        return _FINISH
    tool = tools.get(call.tool)
    return surface_of(tool) if tool else None


def _searched(call: ProposedCall, arguments: JsonObject) -> JsonObject:
    """What leaves of a call: the reason for it (`why`) is for people here."""
    if call.tool == FINISH_TOOL.name:
        return {name: arguments[name] for name in _FINISH_TEXTS if name in arguments}
    return {name: value for name, value in arguments.items() if name != "why"}


def _arguments(call: ProposedCall) -> JsonObject | None:
    """The arguments, where they can be read; others are told to the model as malformed and go nowhere."""
    if len(call.arguments_json.encode(errors="replace")) > MAX_ARGUMENT_BYTES:
        return None
    try:
        value: object = json.loads(call.arguments_json or "{}")
    except (ValueError, RecursionError):
        return None
    return cast("JsonObject", value) if isinstance(value, dict) else None


def _resource(tool: Tool | None, arguments: JsonObject) -> str:
    """What the call acts on; nothing where its arguments do not say it."""
    if tool is None:
        return ""
    try:
        plain = {name: value for name, value in arguments.items() if name != "why"}
        return tool.resource_id(tool.args_model.model_validate(plain))
    except (ValidationError, ValueError):
        return ""


def _records(messages: Sequence[JsonObject], tools: Mapping[str, Tool]) -> OwnRecords:
    records = OwnRecords()
    records.read(messages, {name: tool.labels for name, tool in tools.items()})
    return records


def _without_finish_texts(reply: ModelReply) -> ModelReply:
    calls: list[ProposedCall] = []
    for call in reply.calls:
        arguments = _arguments(call) if call.tool == FINISH_TOOL.name else None
        if arguments is not None:
            told: JsonObject = {name: _WITHHELD for name in _FINISH_TEXTS if arguments.get(name)}
            call = call.model_copy(update={"arguments_json": json.dumps({**arguments, **told})})  # noqa: PLW2901 - the same call, cleaned
        calls.append(call)
    return reply.model_copy(update={"calls": tuple(calls)})
