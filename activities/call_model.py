"""One model call: reserve, call, judge the answer, settle. A repetition returns what was settled and pays nothing."""

import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.engine import Engine, engine_fault
from activities.gate import Gate
from activities.gate.counting import unused_s
from activities.models import ModelRejected, ModelUnavailable, provider_for
from activities.models.prices import UnpricedModel, cost_micros, upper_bound_micros
from activities.models.tokens import PER_REQUEST, TOOL_PROMPT, tokens_in
from activities.outgoing import screened
from activities.proposal import Proposal, read_proposal, stored_answer
from activities.spans import said_by_model, silent_model
from activities.transcript import message_row
from activities.transcripts import Transcript, Transcripts
from contracts.agent import PinnedAgent
from contracts.audit import ModelReplied
from contracts.base import Digest
from contracts.canonical import digest_bytes
from contracts.model import AssistantMessage, ModelChoice, ModelReply, ModelRequest, ToolMessage, ToolSchema
from contracts.outgoing import Redaction
from contracts.run_activities import MODEL_REJECTED, MODEL_UNAVAILABLE, TAKEN_OVER
from contracts.tool import Tool
from contracts.turn import CallModel, Calls, Halted, LimitMet, Malformed, ModelTurn, TurnContent
from policy.limits import ceilings
from store.journal import CallKey
from store.model_calls import (
    ModelBounds,
    ModelReservation,
    SettledAnswer,
    release_model_call,
    reserve_model_call,
    settle_model_call,
)

__all__ = ["ModelCaller"]

_MTOK = 1_000_000
_EMPTY = "sha256:" + "0" * 64
_MAX_OFFERS = 256


@dataclass(frozen=True)
class _Offer:
    """The tools of a pinned agent as the model is shown them."""

    tools: tuple[ToolSchema, ...]
    tokens: int


class ModelCaller:
    """Calls the model of a step. What it keeps between calls are caches of what is recorded."""

    def __init__(self, engine: Engine, gate: Gate) -> None:
        self._engine = engine
        self._gate = gate
        self._transcripts = Transcripts()
        self._offers: OrderedDict[Digest, _Offer] = OrderedDict()

    async def call(self, request: CallModel) -> ModelTurn:
        """See the module.

        Raises:
            ApplicationError: `ModelUnavailable` (retried, with the provider's retry-after), `ModelRejected` (never).
        """
        agent = await self._engine.definition(request.tenant, request.definition)
        choice = agent.models[request.role]
        offer = self._offer(request.definition, agent)
        known = self._transcripts.known(request.tenant, request.run_id)
        try:
            reservation = await self._reserve(request, agent, choice, offer, known)
        except UnpricedModel as error:
            raise ApplicationError(str(error), type=MODEL_REJECTED, non_retryable=True) from error
        match reservation.kind:
            case "stored":
                return self._stored(agent, reservation)
            case "limit":
                return ModelTurn(
                    control=LimitMet(limit=reservation.limit),
                    content=TurnContent(),
                    served_model="",
                    tokens=reservation.tokens_lost,
                    micros=reservation.micros_lost,
                    transcript_digest=_EMPTY,
                )
            case "halted":
                return ModelTurn(
                    control=Halted(by=reservation.control[:300]),
                    content=TurnContent(),
                    served_model="",
                    tokens=0,
                    micros=0,
                    transcript_digest=_EMPTY,
                )
            case "reserved":
                transcript = known.followed_by(reservation)
                self._transcripts.keep(request.tenant, request.run_id, transcript)
                asked = ModelRequest(choice=choice, messages=transcript.messages, tools=offer.tools)
                return await self._answer(request, agent, asked, reservation, transcript.digest)
            case _:
                return engine_fault(f"run {request.run_id} is {reservation.kind}: no model is called for it")

    async def _reserve(
        self, request: CallModel, agent: PinnedAgent, choice: ModelChoice, offer: _Offer, known: Transcript
    ) -> ModelReservation:
        run = ceilings(agent.limits)
        bounds = ModelBounds(
            agent=agent.name,
            overhead_tokens=PER_REQUEST + offer.tokens if choice.provider != "scripted" else PER_REQUEST,
            output_tokens=choice.max_output_tokens,
            input_price=upper_bound_micros(choice, _MTOK, 0),
            output_price=upper_bound_micros(choice, 0, _MTOK),
            limit_steps=run.steps,
            limit_tokens=run.tokens,
            limit_micros=run.micros,
            limit_retries=run.retries,
            limit_context=run.context_tokens,
            wall_s=math.ceil(choice.timeout_s),
            limits=self._limits(request, agent),
            known_seq=known.seq,
            known_tokens=known.tokens,
        )
        return await reserve_model_call(self._engine.db, request.tenant, request.run_id, request.step, bounds)

    async def _answer(
        self, request: CallModel, agent: PinnedAgent, asked: ModelRequest, reservation: ModelReservation, shown: Digest
    ) -> ModelTurn:
        choice, began_s, began_ns = asked.choice, time.monotonic(), time.time_ns()
        reply, redactions = self._screened(agent, asked, await self._ask(request, agent, asked, reservation))
        proposal = read_proposal(reply, self._tools(agent))
        answer = stored_answer(reply)
        text, size = message_row(answer)
        tokens = reply.usage.total_tokens
        micros = cost_micros(choice, reply.usage, reply.served_model, datetime.now(UTC))
        messages: list[tuple[str, int | None, int]] = [(text, None, size)]
        for position, correction in enumerate(proposal.corrections):
            told, told_size = message_row(correction)
            messages.append((told, position if correction.role == "tool" else None, told_size))
        malformed = isinstance(proposal.control, Malformed)
        shrinks = malformed and reservation.malformed > 0  # one slip is corrected; another is a reason for doubt
        replied = ModelReplied(
            step=request.step,
            control=proposal.control.kind,
            stop=reply.stop,
            stop_detail=reply.stop_detail,
            answer_digest=digest_bytes(text.encode()),
            transcript_digest=shown,
            served_model=reply.served_model,
            request_id=reply.request_id,
            usage=reply.usage,
            tokens=tokens + reservation.tokens_lost,
            micros=micros + reservation.micros_lost,
            redactions=redactions,
            shrunk=shrinks,
        )
        first = proposal.control.calls[0].tool if isinstance(proposal.control, Calls) else None
        reads = {tool.name for tool in agent.tools if tool.is_short_read}
        followed = isinstance(proposal.control, Calls) and any(call.tool in reads for call in proposal.control.calls)
        values_after = self._gate.values_known(request.tenant, request.run_id)
        settled = await settle_model_call(
            self._engine.db,
            request.tenant,
            request.run_id,
            request.step,
            SettledAnswer(
                fence=reservation.fence,
                tokens=tokens,
                micros=micros,
                messages=messages,
                audit=replied.model_dump_json(),
                day=reservation.day,
                wall_back_s=unused_s(math.ceil(choice.timeout_s), began_s),
                malformed=malformed,
                shrinks=self._limits(request, agent) if shrinks else None,
                durable=not followed,  # its first reads come next: `with_first_reads` ends with all on disk
                agent=agent.name,
                first_tool=first,
                values_after=values_after,
                zone=self._gate.zone_of(request.tenant),
            ),
        )
        if settled.kind == "lost":
            # Not reserved again: that would take the step away from the attempt that has it now.
            raise ApplicationError(f"step {request.step} is worked on elsewhere", type=TAKEN_OVER)
        said_by_model(request, agent, reply, choice, micros, began_ns)
        if settled.first_call is not None:
            key = CallKey(request.tenant, request.run_id, request.step, 0, 1)
            self._gate.foresee(key, settled.first_call, values_after)
        return _turn(proposal, replied)

    async def _ask(
        self, request: CallModel, agent: PinnedAgent, asked: ModelRequest, reservation: ModelReservation
    ) -> ModelReply:
        folder, began_ns = self._engine.registry.agent(agent.name).folder, time.time_ns()
        try:
            provider = provider_for(asked.choice, self._engine.settings, folder)
            return await provider.complete(asked, activity.heartbeat)
        except ModelUnavailable as error:
            silent_model(request, agent, asked.choice, error, began_ns)
            if not error.possibly_charged:
                await self._release(request, asked, reservation)
            delay = timedelta(seconds=error.retry_after_s) if error.retry_after_s is not None else None
            raise ApplicationError(str(error), type=MODEL_UNAVAILABLE, next_retry_delay=delay) from error
        except ModelRejected as error:
            silent_model(request, agent, asked.choice, error, began_ns)
            await self._release(request, asked, reservation)
            raise ApplicationError(str(error), type=MODEL_REJECTED, non_retryable=True) from error

    def _screened(
        self, agent: PinnedAgent, asked: ModelRequest, reply: ModelReply
    ) -> tuple[ModelReply, tuple[Redaction, ...]]:
        """What rules take out is gone before anything is stored, digested or decided: all later parts see the same."""
        live = self._engine.registry.agents.get(agent.name)
        return screened(
            self._engine.outgoing,
            live.file.output_rules if live else (),
            reply,
            self._tools(agent),
            lambda: [item.model_dump(mode="json") for item in asked.messages if isinstance(item, ToolMessage)],
        )

    def _limits(self, request: CallModel, agent: PinnedAgent) -> str:
        return self._engine.limits.for_model(request.tenant, request.definition, agent)

    async def _release(self, request: CallModel, asked: ModelRequest, reservation: ModelReservation) -> None:
        wall_s = math.ceil(asked.choice.timeout_s)
        await release_model_call(self._engine.db, request.tenant, request.run_id, request.step, reservation, wall_s)

    def _offer(self, definition: Digest, agent: PinnedAgent) -> _Offer:
        found = self._offers.get(definition)
        if found is None:
            found = _Offer(
                tools=tuple(ToolSchema.model_validate(schema) for schema in agent.tool_schemas),
                tokens=TOOL_PROMPT + sum(tokens_in(str(schema)) for schema in agent.tool_schemas),
            )
            self._offers[definition] = found
            if len(self._offers) > _MAX_OFFERS:
                self._offers.popitem(last=False)
        return found

    def _stored(self, agent: PinnedAgent, reservation: ModelReservation) -> ModelTurn:
        replied = ModelReplied.model_validate_json(reservation.control)
        answer = AssistantMessage.model_validate_json(reservation.messages)
        reply = ModelReply.model_construct(
            text=answer.text,
            calls=answer.calls,
            stop=replied.stop,
            stop_detail=replied.stop_detail,
            opaque=answer.opaque,
        )
        return _turn(read_proposal(reply, self._tools(agent)), replied)

    def _tools(self, agent: PinnedAgent) -> dict[str, Tool]:
        live = self._engine.registry.agents.get(agent.name)
        listed = {tool.name for tool in agent.tools}
        return {name: tool for name, tool in live.tools.items() if name in listed} if live else {}


def _turn(proposal: Proposal, replied: ModelReplied) -> ModelTurn:
    return ModelTurn(
        control=proposal.control,
        content=proposal.content.model_copy(update={"redactions": replied.redactions})
        if replied.redactions
        else proposal.content,
        served_model=replied.served_model,
        tokens=replied.tokens,
        micros=replied.micros,
        transcript_digest=replied.transcript_digest,
    )
