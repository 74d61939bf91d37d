"""Operator commands: who signed what, and whether a run obeys. Pure: time and the run's state are passed in."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from contracts.command import (
    Command,
    CommandAccepted,
    CommandRefusal,
    CommandRefused,
    OperatorRole,
    Pause,
    ResolveUnknown,
    Resume,
    SignedCommand,
)
from policy.signed import CLOCK_SKEW_S, read_signed

__all__ = [
    "COMMAND_LIFETIME_S",
    "COMMAND_SIGN_IN_S",
    "COMMAND_TYPE",
    "MIN_REASON_CHARACTERS",
    "ROLES_FOR",
    "SERVICE_ISSUER",
    "RunSituation",
    "judge_command",
    "read_command",
]

COMMAND_TYPE = "countersign-command+jws"
"""The token's `typ`: a vote is no command, and a command no vote."""
COMMAND_LIFETIME_S = 3_600
"""No command is good for longer: what somebody meant at night must not happen the next day."""
COMMAND_SIGN_IN_S = 12 * 3_600
"""How long before the command the operator may have proved who they are."""
MIN_REASON_CHARACTERS = 3
SERVICE_ISSUER = "countersign"
"""Issuer of the commands that the approvals service gives by itself."""
ROLES_FOR: Mapping[str, frozenset[OperatorRole]] = MappingProxyType(
    {
        "pause": frozenset({"kill"}),
        "resume": frozenset({"kill"}),
        "end": frozenset({"kill"}),
        "hand_over": frozenset({"kill"}),
        "resolve_unknown": frozenset({"undo"}),
    }
)
"""Any of these roles may give the order."""


@dataclass(frozen=True)
class RunSituation:
    """What of a run's state decides whether it obeys."""

    paused_by_operator: bool
    pause: int | None
    """Number of the pause that the run is in, whoever caused it; None: it is in none."""
    halted: bool
    """Whether a kill switch or a disabled agent caused it."""
    ending: bool
    in_doubt: Collection[tuple[int, int]]
    """Step and call of the writes that the run waits for."""


def read_command(signed: SignedCommand, keys: Mapping[str, str]) -> Command | CommandRefusal:
    """The command that a known key signed, or why it is none: see `read_signed`."""
    found = read_signed(signed.jws, keys, type_=COMMAND_TYPE, model=Command)
    return CommandRefusal(found) if isinstance(found, str) else found


def judge_command(
    command: Command, *, run_id: str, tenant: str, situation: RunSituation, now_s: float
) -> CommandAccepted | CommandRefused:
    """Whether the run obeys a command that `read_command` verified. `now_s` is Unix seconds."""
    refusal = _misdirected(command, run_id, tenant, now_s) or _unauthorized(command) or _untimely(command, situation)
    return CommandRefused(refusal=refusal) if refusal else CommandAccepted()


def _misdirected(command: Command, run_id: str, tenant: str, now_s: float) -> CommandRefusal | None:
    if command.tenant != tenant or command.run_id != run_id:
        return CommandRefusal.WRONG_RUN
    if command.authenticated_at > command.issued_at + CLOCK_SKEW_S or command.issued_at > now_s + CLOCK_SKEW_S:
        return CommandRefusal.MALFORMED
    if command.expires_at - command.issued_at > COMMAND_LIFETIME_S:
        return CommandRefusal.MALFORMED
    if now_s >= command.expires_at:
        return CommandRefusal.EXPIRED
    return None


def _unauthorized(command: Command) -> CommandRefusal | None:
    if not ROLES_FOR[command.order.kind] & set(command.roles):
        return CommandRefusal.NOT_ALLOWED
    by_service = command.strength == "service"
    if by_service != (command.issuer == SERVICE_ISSUER):
        return CommandRefusal.NOT_ALLOWED
    released = isinstance(command.order, Resume) and command.order.because == "released"
    if by_service != released:
        return CommandRefusal.NOT_ALLOWED  # nobody but the service knows that nothing halts the run any more
    if command.issued_at - command.authenticated_at > COMMAND_SIGN_IN_S:
        return CommandRefusal.STALE_SIGN_IN
    if len(command.reason.strip()) < MIN_REASON_CHARACTERS:
        return CommandRefusal.REASON_MISSING
    return None


def _untimely(command: Command, situation: RunSituation) -> CommandRefusal | None:
    if situation.ending:
        return CommandRefusal.ENDING
    match command.order:
        case Pause() if situation.paused_by_operator:
            return CommandRefusal.ALREADY_PAUSED
        case Resume(because="released", pause=pause) if not situation.halted or pause != situation.pause:
            return CommandRefusal.NOT_PAUSED
        case Resume() if not (situation.paused_by_operator or situation.halted):
            return CommandRefusal.NOT_PAUSED
        case ResolveUnknown(step=step, call=call) if (step, call) not in situation.in_doubt:
            return CommandRefusal.NOT_IN_DOUBT
        case _:
            return None
