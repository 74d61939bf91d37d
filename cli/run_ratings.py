"""`countersign runs rate` and `runs ratings`: whether the packet of a run helped the person who had to go on."""

from typing import Annotated

import typer
from pydantic import ValidationError

from cli.mistakes import mistake_in
from cli.operators import AsOption, TenantOption, sign_in, tenant_of
from cli.output import CliError, Exit, JsonOption, print_json, print_table, say
from cli.store_work import in_store
from settings.load import load_settings
from store.packet_ratings import PacketRating, Usefulness, packet_report, rate_packet

__all__ = ["mount_ratings"]


def mount_ratings(group: typer.Typer) -> None:
    """Add the verbs to the group of runs."""
    group.command("rate")(rate)
    group.command("ratings")(ratings)


def rate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Whole id of a run that was handed over.")],
    who: AsOption,
    useful: Annotated[Usefulness, typer.Option("--useful", help="Whether you could go on from its packet.")],
    minutes: Annotated[int, typer.Option("--minutes", min=0, max=1_440, help="Minutes saved, as you estimate.")] = 0,
    note: Annotated[str, typer.Option("--note", help="What was missing.")] = "",
) -> int:
    """Rate a packet. Your later word takes the place of the earlier."""
    settings = load_settings()
    by = sign_in(settings, who, "approve")
    try:
        said = PacketRating(useful=useful, minutes_saved=minutes, note=note, person=by.person)
    except ValidationError as error:
        raise mistake_in(error) from None
    if not in_store(settings, by.tenant, lambda cursor: rate_packet(cursor, by.tenant, run, said)):
        raise CliError(f"{run} has left no packet. `countersign runs list` shows how runs ended.", Exit.BAD)
    say(f"{run}: {useful}, {minutes} minutes saved, said by {by.person}.")
    return Exit.OK


def ratings(
    days: Annotated[int, typer.Option("--days", min=1, max=365, help="Runs that ended in the last so many days.")] = 30,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> int:
    """What people say of the packets, by agent."""
    settings = load_settings()
    owner = tenant_of(settings, tenant)
    found = in_store(settings, owner, lambda cursor: packet_report(cursor, owner, days))
    if as_json:
        print_json(found)
    elif not found:
        say("no run was handed over in this time.")
    else:
        print_table(
            ("AGENT", "HANDED OVER", "RATED", "USEFUL", "PARTLY", "NOT", "MINUTES SAVED"),
            [(one.agent, *map(str, (one.handed_over, one.rated, one.yes, one.partly, one.no, one.minutes_saved)))
             for one in found],
        )  # fmt: skip
    return Exit.OK
