"""The scripted provider: answers from a fixture file, by the content of the conversation. It says what it is."""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from activities.models.conversation import Conversation, UnknownReferenceError
from activities.models.errors import ModelRejected, ModelUnavailable
from activities.models.provider import Heartbeat, bounded
from activities.models.schemas import FINISH_TOOL
from activities.models.script import Fault, RawReply, Rule, Script, ScriptError, load_script
from contracts.model import (
    AssistantMessage,
    Message,
    ModelReply,
    ModelRequest,
    ProposedCall,
    StopReason,
    ToolMessage,
    ToolSchema,
    Usage,
)

__all__ = ["CHARACTERS_PER_TOKEN", "ScriptedProvider"]

CHARACTERS_PER_TOKEN = 4
_Draft = tuple[str, list[tuple[str, str]], StopReason, str]
"""Text, calls (tool, arguments as JSON), stop reason and its detail."""


class ScriptedProvider:
    """Answers with the first rule that matches. Served as `scripted:<file name>`: nobody shall take it for a model."""

    def __init__(self, fixture: Path) -> None:
        self.fixture = fixture
        self._sized: tuple[tuple[ToolSchema, ...], int] = ((), 0)

    async def complete(self, request: ModelRequest, heartbeat: Heartbeat) -> ModelReply:
        """Answer from the fixture.

        Raises:
            ModelUnavailable: the rule says so.
            ModelRejected: the rule says so, no rule matches, or the fixture is wrong.
        """
        async with bounded(request.choice.timeout_s, heartbeat) as progress:
            try:
                script = load_script(self.fixture)
            except ScriptError as error:
                raise ModelRejected(f"fixture {error}") from None
            rule, conversation = self._first_match(script, Conversation.of(request.messages))
            await asyncio.sleep(rule.latency_s)
            if rule.fault:
                raise self._failure(rule, rule.fault)
            reply = self._reply(request, rule, self._draft(rule, conversation))
            progress.add(reply.text)
            return reply

    async def aclose(self) -> None:
        """Nothing to close."""

    def _first_match(self, script: Script, conversation: Conversation) -> tuple[Rule, Conversation]:
        for rule in script.rules:
            captured = rule.when.match(conversation)
            if captured is not None:
                read = Conversation(
                    conversation.messages,
                    conversation.event,
                    conversation.results,
                    conversation.answers,
                    conversation.proposed,
                    captured,
                )
                return rule, read
        last = conversation.last()
        words = " ".join(str(part) for part in (last["role"], last["tool"]) if part)
        how = " (an error)" if last["error"] else ""
        text = " ".join(str(last["text"]).split())[:120]
        raise ModelRejected(
            f"no rule of fixture {self.fixture.name} matches; the last message is from {words or 'nobody'}{how}: "
            f"{text!r}. Add a rule for it."
        )

    def _draft(self, rule: Rule, conversation: Conversation) -> _Draft:
        try:
            if rule.say:
                calls = [
                    (
                        call.tool,
                        _json({**conversation.fill_object(call.arguments), "why": conversation.fill(call.why)}),
                    )
                    for call in rule.say.calls
                ]
                stop = StopReason.TOOL_CALLS if calls else StopReason.END_TURN
                return str(conversation.fill(rule.say.text)), calls, stop, ""
            if rule.finish:
                finish = rule.finish.model_dump(include={"result", "summary", "needed"})
                text = str(conversation.fill(rule.finish.text))
                return text, [(FINISH_TOOL.name, _json(conversation.fill(finish)))], StopReason.TOOL_CALLS, ""
        except UnknownReferenceError as error:
            raise ModelRejected(
                f"rule {rule.name!r} of fixture {self.fixture.name} uses {{{error}}}, which this conversation does not "
                "hold. Test for it in `when`."
            ) from None
        raw = rule.raw or RawReply()
        return (
            raw.text * raw.repeat,
            [(call.tool, call.arguments_json) for call in raw.calls] * raw.repeat,
            raw.stop,
            raw.stop_detail,
        )

    def _reply(self, request: ModelRequest, rule: Rule, draft: _Draft) -> ModelReply:
        text, calls, stop, detail = draft
        # Ids follow from the conversation's length, beginning and end: the same request always gets the same answer.
        seed = hashlib.sha256(f"{len(request.messages)}".encode())
        for message in (*request.messages[:2], *request.messages[-2:]):
            seed.update("\0".join(_content(message)).encode("utf-8", "replace"))
        seen = sum(len(message.text) for message in request.messages)
        said = len(text) + sum(len(tool) + len(arguments) for tool, arguments in calls)
        return ModelReply(
            text=text,
            calls=tuple(
                ProposedCall(call_id=f"call_{seed.hexdigest()[:20]}_{position}", tool=tool, arguments_json=arguments)
                for position, (tool, arguments) in enumerate(calls)
            ),
            stop=stop,
            stop_detail=detail,
            usage=rule.usage
            or Usage(
                input_tokens=-(-(seen + self._offered(request.tools)) // CHARACTERS_PER_TOKEN),
                output_tokens=-(-said // CHARACTERS_PER_TOKEN),
            ),
            served_model=f"scripted:{self.fixture.name}",
            request_id=f"scripted-{seed.hexdigest()[:20]}",
        )

    def _offered(self, tools: tuple[ToolSchema, ...]) -> int:
        """Characters of the tools' schemas. The same tools come with every call of a run: counted once."""
        if self._sized[0] is not tools:
            self._sized = (tools, sum(len(tool.description) + len(_json(tool.parameters)) for tool in tools))
        return self._sized[1]

    def _failure(self, rule: Rule, fault: Fault) -> Exception:
        words = f"rule {rule.name!r} of fixture {self.fixture.name} says so"
        if fault.kind == "rejected":
            return ModelRejected(words, status=400)
        return ModelUnavailable(
            words, retry_after_s=fault.retry_after_s, possibly_charged=fault.possibly_charged, status=503
        )


def _content(message: Message) -> Iterator[str]:
    yield message.role
    yield message.text
    if isinstance(message, AssistantMessage):
        for call in message.calls:
            yield from (call.call_id, call.tool, call.arguments_json)
    elif isinstance(message, ToolMessage):
        yield from (message.call_id, message.tool, str(message.is_error))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
