"""`countersign runs pause|resume|end|hand-over`: orders to one run, signed by the approvals service for an operator."""

import asyncio
import secrets
from collections.abc import Callable
from typing import Annotated

import typer

from approvals.wire import GiveOrder
from approvals.words import ORDER_REFUSALS
from cli.approvals_client import ApprovalsClient
from cli.operators import ReasonOption, reason_of
from cli.output import CliError, Exit, JsonOption, print_json, say
from cli.run_source import find_run, tenants_of
from contracts.command import CommandRefusal, EndRun, HandOver, Pause, Resume
from settings.load import load_settings

__all__ = ["mount_orders"]

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's id or its beginning.")]
AsOption = Annotated[str | None, typer.Option("--as", help="USER or TENANT/USER. Default: who signed in last.")]
_DONE = {
    "pause": "it starts nothing new; `countersign runs resume` lets it go on",
    "resume": "it goes on; the gate decides every call afresh",
    "end": "it ends as cancelled, with a packet",
    "hand_over": "it ends as escalated, with a packet",
}


def mount_orders(group: typer.Typer) -> None:
    """Add the verbs to the group `runs`."""
    group.command("pause", help="Let a run start nothing new until it is resumed.")(_verb(Pause()))
    group.command("resume", help="Let a paused run go on, once nothing halts it.")(_verb(Resume()))
    group.command("end", help="End a run now, as cancelled. A write under way comes to its end first.")(_verb(EndRun()))
    group.command("hand-over", help="End a run now, as escalated: a person goes on.")(_verb(HandOver()))


def _verb(order: Pause | Resume | EndRun | HandOver) -> Callable[..., int]:
    def command(run: RunArgument, reason: ReasonOption, who: AsOption = None, as_json: JsonOption = False) -> int:
        posted = GiveOrder(order=order, reason=reason_of(reason), nonce=secrets.token_hex(8))
        settings = load_settings()
        with ApprovalsClient(settings, who) as client:
            whole = asyncio.run(find_run(settings, run, tenants_of(settings, None)))
            reply = client.order(whole, posted)
        if as_json:
            print_json(reply)
        elif reply.state == "accepted":
            say(f"{whole}: {_DONE[order.kind]}.")
        elif reply.state == "pending":
            say(f"{whole} has not answered yet. The order is stored and sent again until it does ({reply.command_id}).")
        if reply.state == "refused":
            raise CliError(f"{whole} refused: {ORDER_REFUSALS[CommandRefusal(reply.refusal)]}", Exit.BAD)
        return Exit.OK

    return command
