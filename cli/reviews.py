"""`countersign reviews`: effects that were drawn for review after the fact, and what people say of them."""

import json
import re
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.text import Text

from approvals.characters import plain
from approvals.review_words import LABELS
from approvals.words import amount, at, duration
from cli.mistakes import mistake_in
from cli.operators import AsOption, TenantOption, sign_in, tenant_of
from cli.output import CliError, Exit, JsonOption, print_json, print_table, say
from cli.store_work import in_store
from contracts.review import ReviewLabel
from settings.load import load_settings
from store.accounts import find_account
from store.doubts import EffectPlace
from store.reviews import (
    Chosen,
    Cursor,
    Label,
    Labelled,
    LabelResult,
    NotLabelled,
    Review,
    find_review,
    list_reviews,
    write_label,
)

__all__ = ["mount"]

_KEY = re.compile(r"(run-[a-z2-7]{26})/(\d{1,6})/(\d{1,6})")
KeyArgument = Annotated[str, typer.Argument(metavar="EFFECT", help="RUN/STEP/CALL, as `reviews list` shows it.")]
_STYLES = {"right": "green", "wrong": "yellow", "harmful": "bold red", "cannot_tell": "yellow", "": "dim"}


def mount(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Reviews: effects that people look at after the fact.")
    group.command("list")(list_)
    group.command("show")(show)
    group.command("label")(label)
    app.add_typer(group, name="reviews")


def list_(
    labelled: Annotated[
        Chosen, typer.Option("--label", help="Those that wait, those with this label, or all.")
    ] = "waiting",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> int:
    """List drawn effects: those that wait by when they are due. Exit code 1 when one is overdue."""
    settings = load_settings()
    owner = tenant_of(settings, tenant)
    found = in_store(settings, owner, lambda cursor: list_reviews(cursor, owner, label=labelled, limit=limit))
    late = [one for one in found if not one.label and one.due_at < one.read_at]
    if as_json:
        print_json(found)
    elif not found:
        say("nothing waits for a review." if labelled == "waiting" else "there are none.")
    else:
        columns = ("EFFECT", "AGENT", "TOOL", "AMOUNT", "TIER", "DRAWN", "LABEL", "DUE")
        print_table(columns, [_row(one) for one in found])
    return Exit.BAD if late else Exit.OK


def show(key: KeyArgument, tenant: TenantOption = None, as_json: JsonOption = False) -> int:
    """Show one: what was sent, for whom, what came of it, and what was said of it."""
    settings = load_settings()
    owner = tenant_of(settings, tenant)
    place = _place(owner, key)
    review = in_store(settings, owner, lambda cursor: find_review(cursor, place))
    if review is None:
        raise CliError(f"{key} was not drawn. `countersign reviews list --label all` shows what was.", Exit.BAD)
    if as_json:
        print_json(review)
    else:
        _print(review)
    return Exit.OK


def label(
    key: KeyArgument,
    said: Annotated[ReviewLabel, typer.Argument(metavar="LABEL", help="right, wrong, harmful or cannot_tell.")],
    who: AsOption,
    note: Annotated[str, typer.Option("--note", help="What you found; required unless it was right.")] = "",
    expected: Annotated[
        str, typer.Option("--expected", help="What should have happened; required for wrong and harmful.")
    ] = "",
) -> int:
    """Say what an effect was, once, and in the run's record. Not by who approved it, wanted it or owns the agent."""
    settings = load_settings()
    by = sign_in(settings, who, "approve")
    place = _place(by.tenant, key)
    try:
        words = Label(label=said, note=note, expected=expected)
    except ValidationError as error:
        raise mistake_in(error) from None

    async def write(cursor: Cursor) -> LabelResult:
        account = await find_account(cursor, by.tenant, by.username)
        groups = account.groups if account else ()
        return await write_label(cursor, place, words, person=by.person, username=by.username, groups=groups)

    match in_store(settings, by.tenant, write):
        case Labelled():
            say(f"{key} is recorded as {LABELS[said][0].lower()}, by {by.person}.")
            if said in ("wrong", "harmful"):
                say(f"It may be taken back: countersign undo plan {place.run_id}")
            return Exit.OK
        case NotLabelled(why=why):
            raise CliError(why, Exit.BAD)


def _print(review: Review) -> None:
    say(f"{review.key}  {review.tool}, tier {review.tier}, by {review.agent} version {review.agent_version}")
    say(plain(f"  asked     {review.goal}"))
    say(f"  done      {at(review.done_at)}")
    if review.currency is not None:
        say(f"  amount    {amount(review.amount_minor or 0, review.currency)}")
    say(plain(f"  sent      {json.dumps(json.loads(review.arguments), ensure_ascii=False)}"))
    if review.output:
        say(plain(f"  came of it {json.dumps(json.loads(review.output), ensure_ascii=False)}"))
    say(f"  drawn     {_drawn(review)}, {at(review.drawn_at)}")
    if review.label and review.labelled_at:
        say(plain(f"  label     {LABELS[review.label][0]}, by {review.person}, {at(review.labelled_at)}"))
        if review.note:
            say(plain(f"  found     {review.note}"))
        if review.expected:
            say(plain(f"  instead   {review.expected}"))
    else:
        say(f"  due       {_due(review)}")
        say(plain(f"  not by    {', '.join(review.barred)}"))
    say(f"  run       countersign runs show {review.run_id}")


def _row(one: Review) -> tuple[str | Text, ...]:
    is_late = not one.label and one.due_at < one.read_at
    return (
        one.key,
        one.agent,
        one.tool,
        amount(one.amount_minor or 0, one.currency) if one.currency else "",
        str(one.tier),
        _drawn(one),
        Text(LABELS[one.label][0].lower() if one.label else "waits", _STYLES[one.label]),
        Text("" if one.label else _due(one), "bold red" if is_late else ""),
    )


def _drawn(one: Review) -> str:
    return f"first of v{one.agent_version}" if one.because == "first" else f"by lot, {one.share:.0%}"


def _due(one: Review) -> str:
    late = one.due_at < one.read_at
    return f"overdue by {duration(one.read_at - one.due_at)}" if late else f"in {duration(one.due_at - one.read_at)}"


def _place(tenant: str, key: str) -> EffectPlace:
    found = _KEY.fullmatch(key)
    if found is None:
        raise CliError(f"{key} is no effect: RUN/STEP/CALL, as `countersign reviews list` shows it.")
    return EffectPlace(tenant, found[1], int(found[2]), int(found[3]))
