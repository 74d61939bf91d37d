"""`countersign decoys`: test requests that must be denied. For the role administer: a list of them would spoil them."""

from typing import Annotated

import typer
from rich.text import Text

from activities.decoys import NotPlanted, Planted, plant
from approvals.characters import plain
from approvals.words import at
from cli.operators import AsOption, sign_in
from cli.output import CliError, Exit, JsonOption, print_json, print_table, say
from cli.store_work import in_store
from settings.load import load_settings
from settings.reviews import load_reviews
from store.decoys import Decoy, end_stale_decoys, list_decoys

__all__ = ["mount"]

_STYLES = {"missed": "red", "caught": "green"}


def mount(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Test requests: look real, belong to no run, must be denied.")
    group.command("plant")(plant_)
    group.command("list")(list_)
    group.command("withdraw")(withdraw)
    app.add_typer(group, name="decoys")


def plant_(
    who: AsOption,
    groups: Annotated[list[str] | None, typer.Option("--group", help="For this group alone; may be repeated.")] = None,
    tool: Annotated[str | None, typer.Option("--tool", help="Made from a request of this tool.")] = None,
) -> int:
    """Plant one, made from a decided request of the last 30 days. Only for groups that settings/reviews.yaml names."""
    settings = load_settings()
    by = sign_in(settings, who, "administer")
    reviews = load_reviews(settings.reviews_file).tenant(by.tenant)
    done = in_store(
        settings, by.tenant,
        lambda cursor: plant(cursor, by.tenant, reviews, by=by.person, groups=groups or (), tool=tool),
    )  # fmt: skip
    match done:
        case Planted(decoy=decoy):
            say(f"{decoy.request_id} waits for {', '.join(decoy.groups)}. {decoy.tell}")
            return Exit.OK
        case NotPlanted(why=why):
            raise CliError(f"nothing was planted: {why}.", Exit.BAD)


def list_(who: AsOption, as_json: JsonOption = False) -> int:
    """List them, newest first, with what became of each."""
    settings = load_settings()
    by = sign_in(settings, who, "administer")
    found = in_store(settings, by.tenant, lambda cursor: list_decoys(cursor, by.tenant))
    if as_json:
        print_json(found)
    elif not found:
        say("there has been none.")
    else:
        print_table(("REQUEST", "TOOL", "FAULT", "FOR", "PLANTED", "BY", "RESULT", "DECIDED BY"), map(_row, found))
    return Exit.OK


def withdraw(who: AsOption) -> int:
    """Withdraw all that wait. They count for their week all the same."""
    settings = load_settings()
    by = sign_in(settings, who, "administer")
    ended = in_store(settings, by.tenant, lambda cursor: end_stale_decoys(cursor, by.tenant, withdraw=True))
    say(f"{ended} withdrawn.")
    return Exit.OK


def _row(one: Decoy) -> tuple[str | Text, ...]:
    return (
        one.request_id, one.tool, one.fault.replace("_", " "), ", ".join(one.groups), at(one.planted_at),
        plain(one.planted_by), Text(one.result or "waits", _STYLES.get(one.result, "")), plain(one.person),
    )  # fmt: skip
