"""The path of one request: token, arguments, planned fault, one transaction, answer."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from examples.backoffice import books, faults, requests, tokens
from examples.backoffice.books import Write
from examples.backoffice.database import Database
from examples.backoffice.epochs import Feed
from examples.backoffice.errors import ApiError, Refused, error_body
from examples.backoffice.keys import KeyRing
from examples.backoffice.operations import Change, Read
from examples.backoffice.read_tokens import ReadTokens
from examples.backoffice.settings import BODY_MAX_BYTES, Settings
from examples.backoffice.wire_answers import ErrorBody
from examples.backoffice.wire_arguments import Arguments


@dataclass(frozen=True, slots=True)
class Answered:
    """What goes back: a status and a JSON text that can be stored and repeated byte for byte."""

    status_code: int
    text: str
    is_replayed: bool = False

    def response(self) -> Response:
        """Render as HTTP."""
        headers = {"Idempotency-Replayed": "true"} if self.is_replayed else {}
        return Response(self.text, self.status_code, headers, media_type="application/json")


@dataclass(frozen=True, slots=True)
class Service:
    """What every request needs."""

    settings: Settings
    database: Database
    keys: KeyRing
    feed: Feed
    reads: ReadTokens

    async def answer_read(self, operation: Read[Any], request: Request) -> Response:
        """Serve one read. Raises ApiError."""
        token = await self._authenticate(request, operation)
        tokens.check_is_read(token)
        arguments, arguments_sha256 = requests.arguments_of_read(request, operation.arguments)
        tokens.check_arguments(token, arguments_sha256)
        self.reads.spend(token, time.time())
        fault = await self._meet_fault(request, token.tenant)
        answered = await run_in_threadpool(_perform_read, self.database, operation, token, arguments)
        await self._meet_late_fault(fault)
        return answered.response()

    async def answer_change(self, operation: Change[Any], request: Request) -> Response:
        """Serve one write. Raises ApiError."""
        body = await requests.read_body(request, BODY_MAX_BYTES)
        token = await self._authenticate(request, operation)
        effect_key = requests.idempotency_key(request)
        arguments, arguments_sha256 = requests.arguments_of_change(request, body, operation.arguments)
        tokens.check_arguments(token, arguments_sha256)
        tokens.check_effect_key(token, effect_key)
        fault = await self._meet_fault(request, token.tenant)
        write = Write(token, operation.name, effect_key, arguments_sha256, time.time())
        answered = await run_in_threadpool(_perform_change, self.database, operation, write, arguments)
        await self._meet_late_fault(fault)
        return answered.response()

    async def _authenticate(self, request: Request, operation: Read[Any] | Change[Any]) -> tokens.Token:
        presented = tokens.bearer(request.headers.get("authorization"))
        # In a thread, because an unknown key id may fetch the key set.
        token = await run_in_threadpool(
            tokens.verify,
            presented,
            self.keys,
            issuer=self.settings.issuer,
            audience=self.settings.audience,
            now_unix_s=time.time(),
            typ=self.settings.typ,
        )
        tokens.check_scope(token, operation.scope)
        tokens.check_tool(token, operation.name, self.settings.tools)
        await run_in_threadpool(
            self.feed.be_current, age_max_s=self.settings.epochs_age_s, stale_s=self.settings.epochs_stale_s
        )
        return token

    async def _meet_fault(self, request: Request, tenant: str) -> faults.PlannedFault | None:
        """Act on a fault that strikes before the effect; hand on one that strikes after it."""
        fault = await run_in_threadpool(faults.take_fault, self.database, tenant, request.method, request.url.path)
        if fault is None or fault.mode in ("timeout_after_effect", "status_500_after"):
            return fault
        match fault.mode:
            case "slow":
                await asyncio.sleep(self._seconds(fault))
                return fault
            case "timeout_before_effect":
                await asyncio.sleep(self._seconds(fault))
                raise ApiError(504, "timed_out", "Planned fault: timed out, nothing was done.")
            case "status_429":
                retry = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
                raise ApiError(429, "rate_limited", "Planned fault: too many requests, nothing was done.", retry)
            case "status_500_before":
                raise ApiError(500, "internal_error", "Planned fault.")

    async def _meet_late_fault(self, fault: faults.PlannedFault | None) -> None:
        """Act on a fault that strikes after the effect was committed."""
        if fault is not None and fault.mode == "timeout_after_effect":
            await asyncio.sleep(self._seconds(fault))
            raise ApiError(504, "timed_out", "Planned fault: timed out.")
        if fault is not None and fault.mode == "status_500_after":
            raise ApiError(500, "internal_error", "Planned fault.")

    def _seconds(self, fault: faults.PlannedFault) -> float:
        return self.settings.hang_s if fault.seconds is None else fault.seconds


def _perform_read(database: Database, operation: Read[Any], token: tokens.Token, arguments: Arguments) -> Answered:
    with database.read() as connection:
        books.check_standing(connection, token, time.time())
        outcome = operation.perform(connection, token.tenant, arguments)
    if isinstance(outcome, Refused):
        return _refusal(outcome)
    return Answered(200, outcome.model_dump_json())


def _perform_change(database: Database, operation: Change[Any], write: Write, arguments: Arguments) -> Answered:
    """Decide, act, remember and log in one transaction: after a kill all of it is there or none."""
    with database.write() as connection:
        # The clock is read again here: a request that waited for the lock must not outlive its token.
        books.check_standing(connection, write.token, time.time())
        books.spend_token(connection, write)
        stored = books.find_answer(connection, write.tenant, write.effect_key)
        if stored is not None:
            answered = _repeat(stored, write)
            verdict = "replayed" if answered.is_replayed else "refused"
            books.log_write(connection, write, verdict, answered.status_code, None)
            return answered
        outcome = operation.perform(connection, write, arguments)
        if isinstance(outcome, Refused):
            answered = _refusal(outcome)
            books.log_write(connection, write, "refused", answered.status_code, None)
        else:
            answered = Answered(outcome.status_code, outcome.body.model_dump_json())
            books.log_write(connection, write, "applied", answered.status_code, outcome.resource_id)
        books.store_answer(connection, write, answered.status_code, answered.text)
        return answered


def _repeat(stored: books.StoredAnswer, write: Write) -> Answered:
    if (stored.operation, stored.arguments_sha256) == (write.operation, write.arguments_sha256):
        return Answered(stored.status_code, stored.response, is_replayed=True)
    return _refusal(
        Refused(409, "idempotency_key_reused", "This key was used for another request; use one key per effect.")
    )


def _refusal(refused: Refused) -> Answered:
    return Answered(refused.status_code, ErrorBody(code=refused.code, message=refused.message).model_dump_json())


def json_error(status_code: int, code: str, message: str) -> JSONResponse:
    """Render a refusal that no handler raised."""
    return JSONResponse(error_body(code, message), status_code)
