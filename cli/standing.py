"""`countersign standing`: approvals for many calls at once: propose, decide, look at each use, take back."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, TypeVar

import typer
from pydantic import ValidationError

from approvals.characters import plain
from approvals.standing import ProposeStanding, propose_like
from approvals.standing_words import StandingView, minor_of, money_of, standing_view, suggested_bound, typed_value
from approvals.wire import DecideStanding
from approvals.words import amount, at
from cli.approvals_client import ApprovalsClient
from cli.asking import agrees
from cli.mistakes import mistake_in
from cli.operators import AsOption, Operator, ReasonOption, TenantOption, sign_in, tenant_of
from cli.output import CliError, Exit, JsonOption, print_json, print_table, say
from cli.store_work import in_store
from contracts.approval import ApprovalView
from contracts.base import JsonObject
from contracts.vote import Verdict
from settings import Settings
from settings.load import load_settings
from settings.standing import load_standing
from store.approvals import find_request
from store.standing import (
    Cursor,
    StandingNotAllowed,
    StandingShown,
    StandingUsed,
    find_standing,
    list_standing,
    revoke_standing,
    uses_of,
    votes_for,
)

__all__ = ["mount"]

IdArgument = Annotated[str, typer.Argument(metavar="STANDING", help="Id, sta-…, as `standing list` shows it.")]
BoundOption = Annotated[
    list[str] | None,
    typer.Option(
        "--bound",
        help="Bound of an argument: 'amount_minor<=400.00', 'currency=EUR', 'reason_code=late|lost', 'order_id@event' "
        "(of the run's event) or 'note@any'; with a ! at the end also where no trusted record holds the value. "
        "Arguments that are not named keep what the request suggests.",
    ),
]
ResultT = TypeVar("ResultT")


def mount(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(
        no_args_is_help=True, help="Standing approvals: for this tool, within these bounds, until then."
    )
    for name, verb in (
        ("scopes", scopes), ("propose", propose), ("approve", approve), ("deny", deny), ("list", list_), ("show", show),
        ("revoke", revoke),
    ):  # fmt: skip
        group.command(name)(verb)
    app.add_typer(group, name="standing")


def scopes(as_json: JsonOption = False) -> int:
    """What may be proposed, and how much the greatest may cover: settings/standing.yaml."""
    found = load_standing(load_settings().standing_file).scopes
    if as_json:
        print_json({name: scope.model_dump() for name, scope in found.items()})
        return Exit.OK
    rows = [
        (name, scope.agent, ", ".join(scope.tools), ", ".join(scope.rungs), str(scope.max_uses), f"{scope.max_days} d",
         ", ".join(amount(most, currency) for currency, most in scope.money.items()))
        for name, scope in found.items()
    ]  # fmt: skip
    print_table(("SCOPE", "AGENT", "TOOLS", "IN PLACE OF", "USES", "AT MOST", "MONEY"), rows)
    return Exit.OK


def propose(
    like: Annotated[str, typer.Argument(metavar="REQUEST", help="A request of the same kind, apr-….")],
    who: AsOption,
    scope: Annotated[str, typer.Option(help="A scope, as `standing scopes` lists them.")],
    uses: Annotated[int, typer.Option(help="How many calls at most.")],
    bound: BoundOption = None,
    total: Annotated[str, typer.Option(help="How much all of them may move, in the request's currency.")] = "",
    days: Annotated[int, typer.Option(help="How long it holds.")] = 7,
    reason: ReasonOption = "",
) -> int:
    """Propose one like a request. Nothing is approved by it: two others decide. Needs the role approve."""
    settings = load_settings()
    by = sign_in(settings, who, "approve")

    async def ask(cursor: Cursor) -> StandingShown:
        request = await find_request(cursor, by.tenant, like)
        if request is None or not request.is_intact():
            raise StandingNotAllowed(f"there is no request {like} that can be read")
        view = ApprovalView.model_validate_json(request.view)
        posted = ProposeStanding.model_validate(
            {
                "like": like, "scope": scope, "bounds": _bounds(bound or [], view), "max_uses": uses, "days": days,
                "total_minor": minor_of(total, view.currency) if view.currency else None, "reason": reason,
            }
        )  # fmt: skip
        return await propose_like(
            cursor, by.tenant, posted, standing_file=settings.standing_file, username=by.username, person=by.person
        )

    view = standing_view(_done(settings, by.tenant, ask))
    _tell(view, ())
    say(f"\nproposed. {view.needs} decide within three days, none of them you:")
    say(f"  countersign standing approve {view.shown.standing_id} --reason … --as …")
    return Exit.OK


def approve(
    standing: IdArgument,
    reason: Annotated[str, typer.Option(help="Why it is right, every time.")],
    who: Annotated[str | None, typer.Option("--as", help="USER or TENANT/USER. Default: who signed in last.")] = None,
    digest: Annotated[str, typer.Option(help="Digest that you saw; another one is refused.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not show it and ask.")] = False,
) -> int:
    """Approve one, after it was shown: a signed vote, like that on what cannot be undone."""
    return _decide(standing, who, Verdict.APPROVE, reason, digest, yes=yes)


def deny(
    standing: IdArgument,
    reason: Annotated[str, typer.Option(help="Why.")],
    who: Annotated[str | None, typer.Option("--as", help="USER or TENANT/USER. Default: who signed in last.")] = None,
    digest: Annotated[str, typer.Option(help="Digest that you saw; another one is refused.")] = "",
) -> int:
    """Deny one. One denial ends it."""
    return _decide(standing, who, Verdict.DENY, reason, digest, yes=True)


def list_(
    every: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> int:
    """List those that hold or wait for people."""
    settings = load_settings()
    owner = tenant_of(settings, tenant)

    async def look(cursor: Cursor) -> list[StandingShown]:
        return await list_standing(cursor, owner, every=every)

    found = [standing_view(one) for one in _done(settings, owner, look)]
    if as_json:
        print_json(found)
    elif not found:
        say("no standing approval holds or waits for people.")
    else:
        rows = [
            (one.shown.standing_id, one.state, plain(one.title), one.uses, one.moved, one.until,
             plain(one.shown.proposed_by))
            for one in found
        ]  # fmt: skip
        print_table(("STANDING", "STATE", "FOR", "USED", "MOVED", "UNTIL", "PROPOSED BY"), rows)
    return Exit.OK


def show(standing: IdArgument, tenant: TenantOption = None, as_json: JsonOption = False) -> int:
    """Show what one holds for, who decided, and each use. Exit code 1 where it does not hold."""
    settings = load_settings()
    owner = tenant_of(settings, tenant)

    async def look(cursor: Cursor) -> tuple[StandingView, list[StandingUsed]]:
        found = await find_standing(cursor, owner, standing)
        view = standing_view(found, await votes_for(cursor, owner, standing))
        return view, await uses_of(cursor, owner, standing)

    view, uses = _done(settings, owner, look)
    if as_json:
        print_json({"view": view.model_dump(mode="json"), "uses": [use.model_dump(mode="json") for use in uses]})
    else:
        _tell(view, uses)
    return Exit.OK if view.state in ("holds", "waits") else Exit.BAD


def revoke(standing: IdArgument, who: AsOption, reason: ReasonOption = "") -> int:
    """Take one back for good: nothing is admitted under it from then on. Needs the role approve or kill."""
    settings = load_settings()
    by: Operator = sign_in(settings, who, "approve", "kill", stops=True)

    async def stop(cursor: Cursor) -> StandingShown:
        return await revoke_standing(cursor, by.tenant, standing, person=by.person, reason=reason)

    found = _done(settings, by.tenant, stop)
    say(f"{found.standing_id} is revoked. It was used {found.uses} times.")
    return Exit.OK


def _decide(
    standing: str,
    who: str | None,
    verdict: Literal[Verdict.APPROVE, Verdict.DENY],
    reason: str,
    digest: str,
    *,
    yes: bool,
) -> int:
    with ApprovalsClient(load_settings(), who) as client:
        found = client.show_standing(standing)
        if not yes:
            _tell(found.view, found.uses)
            if not agrees("\nApprove all uses of exactly this?", "--yes approves without asking."):
                say("nothing was decided")
                return Exit.BAD
        try:
            decision = DecideStanding(verdict=verdict, reason=reason, digest=digest or found.view.shown.digest)
        except ValidationError as error:
            raise mistake_in(error) from None
        reply = client.decide_standing(standing, decision)
    if reply.refusal is not None:
        say(f"not decided: {reply.message}")
        return Exit.BAD
    more = f"; {reply.view.people_left} more must approve" if reply.view.state == "waits" else ""
    say(f"recorded: it {'waits' if reply.view.state == 'waits' else reply.view.state}{more}")
    return Exit.OK


def _bounds(typed: list[str], view: ApprovalView) -> list[JsonObject]:
    """One bound for each argument, as typed or as the request suggests. Raises ValueError: one cannot be read."""
    bounds = {name: suggested_bound(name, view).model_dump(mode="json") for name in view.arguments}
    for text in typed:
        name, bound = _bound(text, view)
        bounds[name] = bound
    return list(bounds.values())


def _bound(text: str, view: ApprovalView) -> tuple[str, JsonObject]:
    rest = text.removesuffix("!")
    for sign in ("<=", "=", "@"):
        name, found, value = rest.partition(sign)
        if found and name in view.arguments:
            break
    else:
        raise ValueError(f"{text!r} bounds no argument of the request: it has {', '.join(view.arguments)}")
    example = view.arguments[name]
    money = money_of(name, example, view.currency)
    bound: JsonObject = {"argument": name, "unproven": text.endswith("!")}
    if sign == "<=":
        return name, {**bound, "kind": "at_most", "most": typed_value(name, value, 0, money)}
    if sign == "@":
        if value not in ("event", "any"):
            raise ValueError(f"{text!r}: say {name}@event or {name}@any")
        return name, {**bound, "kind": {"event": "of_event", "any": "any"}[value]}
    values = [typed_value(name, part, example, money) for part in value.split("|")]
    if len(values) == 1:
        return name, {**bound, "kind": "equals", "value": values[0]}
    return name, {**bound, "kind": "one_of", "values": values}


def _tell(view: StandingView, uses: list[StandingUsed] | tuple[StandingUsed, ...]) -> None:
    shown, terms = view.shown, view.terms
    say(f"{shown.standing_id}  {view.state}  {plain(view.title)}{f', {view.left} left' if view.left else ''}")
    if terms is None:
        say("Its stored terms are damaged. It holds for nothing.")
        return
    say(plain(f"{terms.reason}\n"))
    rows = [(plain(one.name), plain(one.words), "from anywhere" if one.unproven else "") for one in view.bounds]
    print_table(("ARGUMENT", "MAY BE", ""), rows)
    policies = ", ".join(one.policy for one in terms.policies)
    say(plain(f"\nin place of  {view.rung}, where {policies} asks; up to tier {terms.max_tier}"))
    say(f"used         {view.uses}{f', {view.moved}' if view.moved else ''}, until {view.until}")
    say(plain(f"proposed by  {shown.proposed_by}, under {terms.scope}; {view.needs} decide"))
    for vote in view.votes:
        did = "approved" if vote.verdict is Verdict.APPROVE else "denied"
        say(plain(f"             {vote.display_name} {did}, {at(vote.cast_at)}: {vote.reason}"))
    if shown.revoked_at:
        say(plain(f"revoked by   {shown.revoked_by}, {at(shown.revoked_at)}: {shown.revoke_reason}"))
    say(f"digest       {shown.digest}")
    if uses:
        currency = terms.money.currency if terms.money else ""
        print_table(
            ("USE", "RUN", "STEP", "AMOUNT", "EFFECT", "AT"),
            [
                (str(use.number), use.run_id, str(use.step), amount(use.amount_minor, currency) if currency else "",
                 use.state or "", at(use.used_at))
                for use in uses
            ],
        )  # fmt: skip


def _done(settings: Settings, tenant: str, work: Callable[[Cursor], Awaitable[ResultT]]) -> ResultT:
    try:
        return in_store(settings, tenant, work)
    except StandingNotAllowed as refusal:
        raise CliError(f"{refusal}.", Exit.BAD) from None
    except ValidationError as error:
        raise mistake_in(error) from None
    except ValueError as error:
        raise CliError(f"{error}.") from None
