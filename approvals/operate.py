"""Orders to runs: signed for an operator, stored, sent. And resumes that the service gives when a halt is over."""

import logging
from typing import Annotated, Literal

from pydantic import Field

from approvals.run_line import NoAnswer, RunLine
from approvals.services import Services
from approvals.signing import VoteSigner
from approvals.visitors import Visitor
from approvals.wire import GiveOrder
from contracts.base import Record
from contracts.canonical import opaque_id
from contracts.command import Command, CommandRefusal, OperatorRole, Resume, SignedCommand
from policy.commands import COMMAND_LIFETIME_S, COMMAND_SIGN_IN_S, MIN_REASON_CHARACTERS, ROLES_FOR, SERVICE_ISSUER
from store.accounts import ROLES
from store.commands import StoredCommand, add_command, find_command, record_command_answer
from store.database import Database
from store.pauses import Freed, halted_by, open_pause
from store.runs import load_run
from store.vote_keys import pinned_vote_keys

__all__ = ["Given", "NoSuchRun", "NotGiven", "Ordered", "free_run", "give"]

ANSWER_WITHIN_S = 2.0
_LOG = logging.getLogger("approvals")
_SERVICE = "approvals"


class Given(Record):
    """The order is signed and stored; its `state` is what the run has said so far."""

    kind: Literal["given"] = "given"
    command: StoredCommand


class NotGiven(Record):
    """The run would refuse the order, so it was neither signed nor stored."""

    kind: Literal["not_given"] = "not_given"
    refusal: CommandRefusal
    detail: str = ""


class NoSuchRun(Record):
    """The tenant has no such run."""

    kind: Literal["no_such_run"] = "no_such_run"


Ordered = Annotated[Given | NotGiven | NoSuchRun, Field(discriminator="kind")]


async def give(services: Services, visitor: Visitor, run_id: str, posted: GiveOrder) -> Ordered:
    """Check, sign, store, send. The stored command is the promise: what cannot be sent now, the dispatcher sends."""
    run = await load_run(services.database, visitor.tenant, run_id)
    if run is None:
        return NoSuchRun()
    session = visitor.session
    roles: tuple[OperatorRole, ...] = tuple(role for role in ROLES if role in session.roles)
    if not ROLES_FOR[posted.order.kind] & set(roles):
        return NotGiven(refusal=CommandRefusal.NOT_ALLOWED)
    if len(posted.reason) < MIN_REASON_CHARACTERS:
        return NotGiven(refusal=CommandRefusal.REASON_MISSING)
    if run["closed_at"] is not None:
        return NotGiven(refusal=CommandRefusal.ENDING)
    async with services.database.tenant(visitor.tenant) as cursor:
        await cursor.execute("select extract(epoch from now())::bigint as now")
        row = await cursor.fetchone()
        now_s = int(row["now"]) if row else 0
        if now_s - int(session.authenticated_at.timestamp()) > COMMAND_SIGN_IN_S:
            return NotGiven(refusal=CommandRefusal.STALE_SIGN_IN)
        if isinstance(posted.order, Resume):
            pause = await open_pause(cursor, visitor.tenant, run_id)
            held = await halted_by(cursor, visitor.tenant, run_id, str(run["agent"]), pause.tool if pause else "")
            if held:
                return NotGiven(refusal=CommandRefusal.NOT_PAUSED, detail=f"it is still halted by {held}: release that")
        command = Command(
            tenant=visitor.tenant,
            run_id=run_id,
            command_id=opaque_id(
                "cmd", visitor.tenant, run_id, session.person, posted.order.kind, posted.nonce or str(now_s)
            ),
            order=posted.order,
            reason=posted.reason,
            issuer=session.issuer,
            subject=session.username,
            person=session.person,
            display_name=session.display_name,
            roles=roles,
            authenticated_at=int(session.authenticated_at.timestamp()),
            strength="multi_factor" if session.multi_factor else "password",
            issued_at=now_s,
            expires_at=now_s + COMMAND_LIFETIME_S,
        )
        known = await find_command(cursor, visitor.tenant, command.command_id)
        if known is not None:
            return Given(command=known)
        try:
            signed = services.signer.sign_command(command, await pinned_vote_keys(cursor, visitor.tenant, run_id))
        except LookupError:
            return NotGiven(refusal=CommandRefusal.UNKNOWN_KEY)
        stored = await add_command(cursor, command, signed)
    return Given(command=await _send(services.database, services.runs, stored))


async def free_run(database: Database, runs: RunLine, signer: VoteSigner, freed: Freed, now_s: int) -> bool:
    """Tell a halted run that nothing holds it any more; False: it was told before. Once an hour, until it goes on."""
    command = Command(
        tenant=freed.tenant,
        run_id=freed.run_id,
        command_id=opaque_id("cmd", freed.tenant, freed.run_id, "released", freed.number, now_s // COMMAND_LIFETIME_S),
        order=Resume(because="released", pause=freed.number),
        reason=f"{freed.why} by {freed.released_by}"[:2_000],
        issuer=SERVICE_ISSUER,
        subject=_SERVICE,
        person=freed.released_by,
        display_name=freed.released_by,
        roles=("kill",),
        authenticated_at=now_s,
        strength="service",
        issued_at=now_s,
        expires_at=now_s + COMMAND_LIFETIME_S,
    )
    async with database.tenant(freed.tenant) as cursor:
        if await find_command(cursor, freed.tenant, command.command_id) is not None:
            return False  # the dispatcher has it
        try:
            signed = signer.sign_command(command, await pinned_vote_keys(cursor, freed.tenant, freed.run_id))
        except LookupError:
            _LOG.warning("run %s cannot be resumed: it knows none of our keys", freed.run_id)
            return False
        stored = await add_command(cursor, command, signed)
    await _send(database, runs, stored)
    return True


async def _send(database: Database, runs: RunLine, stored: StoredCommand) -> StoredCommand:
    signed = SignedCommand(jws=stored.jws)
    answer = await runs.command(stored.run_id, stored.command_id, signed, within_s=ANSWER_WITHIN_S)
    if isinstance(answer, NoAnswer):
        return stored
    async with database.tenant(stored.tenant) as cursor:
        await record_command_answer(cursor, tenant=stored.tenant, command_id=stored.command_id, answer=answer)
        return await find_command(cursor, stored.tenant, stored.command_id) or stored
