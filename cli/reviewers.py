"""`countersign reviewers`: how people decide. For the role administer; a person's own figures for that person."""

from datetime import timedelta
from typing import Annotated

import typer
from rich.text import Text

from approvals.characters import plain
from approvals.review_words import CONCERNS
from approvals.words import duration
from cli.operators import AsOption, sign_in
from cli.output import Exit, JsonOption, print_json, print_table, say
from cli.store_work import in_store
from settings.load import load_settings
from settings.reviews import load_reviews
from store.reviewers import By, Concern, Figures, concerns_of, figures

__all__ = ["mount"]


def mount(app: typer.Typer) -> None:
    """Add the verb to the application."""
    app.command("reviewers")(reviewers)


def reviewers(
    who: AsOption,
    by: Annotated[By, typer.Option("--by", help="Person, group or tool.")] = "person",
    mine: Annotated[bool, typer.Option("--mine", help="Only your own figures; for everybody.")] = False,
    days: Annotated[int, typer.Option("--days", min=1, max=365, help="Decisions of the last so many days.")] = 30,
    as_json: JsonOption = False,
) -> int:
    """How people decide: time, approvals, agreement, test requests. Exit code 1 when something asks for a talk."""
    settings = load_settings()
    me = sign_in(settings, who, "view", "approve", "administer") if mine else sign_in(settings, who, "administer")
    watch = load_reviews(settings.reviews_file).tenant(me.tenant).watch
    key: By = "person" if mine else by
    only = me.person if mine else None
    found = in_store(
        settings, me.tenant,
        lambda cursor: figures(cursor, me.tenant, by=key, days=days, quick_s=watch.quick_s, only=only),
    )  # fmt: skip
    concerns = {one.key: concerns_of(one, watch) if key == "person" else () for one in found}
    if as_json:
        print_json([{**one.model_dump(mode="json"), "concerns": list(concerns[one.key])} for one in found])
    elif not found:
        say("nobody has decided anything in this time." if not mine else "you have decided nothing in this time.")
    else:
        columns = (
            key.upper(), "DECISIONS", "APPROVED", "HALF WITHIN", f"UNDER {watch.quick_s} S", "UNOPENED", "AS OTHERS",
            "FOUND WRONG", "TESTS CAUGHT", "MISSED", "TIME", "",
        )  # fmt: skip
        print_table(columns, [_row(one, concerns[one.key]) for one in found])
    return Exit.BAD if any(concerns.values()) else Exit.OK


def _row(one: Figures, concerns: tuple[Concern, ...]) -> tuple[str | Text, ...]:
    rate = one.approve_rate
    return (
        plain(one.key),
        str(one.decisions),
        "" if rate is None else f"{rate:.0%}",
        "" if one.median_s is None else f"{one.median_s} s",
        str(one.quick),
        str(one.unseen),
        f"{one.agreed} of {one.others}" if one.others else "",
        str(one.overturned),
        str(one.caught),
        Text(str(one.missed), "red" if one.missed else ""),
        duration(timedelta(seconds=one.people_s)),
        Text(" ".join(CONCERNS[concern] for concern in concerns), "yellow"),
    )
