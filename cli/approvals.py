"""`countersign approvals`: look at requests and decide them, signed in as somebody; the same checks as the form."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from pydantic import ValidationError
from rich.text import Text

from approvals.characters import plain
from approvals.presenting import headline
from approvals.timetable import timetable
from approvals.values import notes_of
from approvals.wire import Decide, DecisionReply, RequestReply, SeenReply
from approvals.words import DID, ORIGINS, REFUSALS, TIERS, amount, duration, requirement_in_words
from cli.approval_accounts import mount_accounts
from cli.approval_choices import mount_choices
from cli.approval_lists import STATE_COLOURS, AsOption, mount_lists
from cli.approval_passkeys import mount_assertions
from cli.approval_sign_in import mount_sign_in
from cli.approvals_client import ApprovalsClient
from cli.asking import agrees
from cli.delegates import mount_delegates
from cli.mistakes import mistake_in
from cli.output import Exit, JsonOption, console, print_json, print_table, say
from contracts.approval import ApprovalView
from contracts.vote import Verdict
from settings.load import load_settings
from store.seen import SeenPage

__all__ = ["mount"]

ForOption = Annotated[str, typer.Option("--for", help="Who named you their delegate: you decide in their place.")]
RequestArgument = Annotated[str, typer.Argument(metavar="REQUEST", help="Id of the request, apr-….")]


def mount(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Approvals: look at requests, decide them, manage accounts.")
    mount_lists(group)
    group.command("show")(show)
    group.command("approve")(approve)
    group.command("deny")(deny)
    mount_choices(group)
    mount_sign_in(group)
    mount_accounts(group)
    mount_assertions(group)
    mount_delegates(group)
    app.add_typer(group, name="approvals")


def show(
    request_id: RequestArgument,
    who: AsOption = None,
    as_seen: Annotated[
        bool, typer.Option("--as-seen", help="Write the pages on which people decided to files, byte for byte.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Show one request, whole; or the pages on which people decided it."""
    with ApprovalsClient(load_settings(), who) as client:
        if as_seen:
            return _write_seen(request_id, client.seen(request_id).pages, as_json=as_json)
        request = client.show(request_id)
    if as_json:
        print_json(request)
    else:
        _print_request(request)
    return Exit.OK


def _write_seen(request_id: str, pages: Sequence[SeenPage], *, as_json: bool) -> int:
    """Write each page beside the others; its name and its digest say which bytes the votes were signed over."""
    if as_json:
        print_json(SeenReply(pages=tuple(pages)))
        return Exit.OK if all(page.is_intact() for page in pages) else Exit.BAD
    if not pages:
        say("nobody has decided in a browser")
    for page in pages:
        file = Path(f"{request_id}-{page.digest.removeprefix('sha256:')[:12]}.html")
        file.write_bytes(page.body.encode())
        mark = "" if page.is_intact() else "  DAMAGED: not the bytes that the votes were signed over"
        say(f"{file}  {page.digest}  seen by {plain(', '.join(page.seen_by) or 'nobody')}{mark}")
    return Exit.OK if all(page.is_intact() for page in pages) else Exit.BAD


def approve(
    request_id: RequestArgument,
    who: AsOption = None,
    reason: Annotated[str, typer.Option(help="Why; required at tier 4.")] = "",
    digest: Annotated[str, typer.Option(help="Digest that you saw; another one is refused.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not show the request and ask.")] = False,
    of: ForOption = "",
    as_json: JsonOption = False,
) -> int:
    """Approve a request, after it was shown."""
    said = Said(Verdict.APPROVE, reason, digest, of)
    return _decide(request_id, who, said, yes=yes, as_json=as_json)


def deny(
    request_id: RequestArgument,
    reason: Annotated[str, typer.Option(help="Why. The agent and the others see it.")],
    who: AsOption = None,
    digest: Annotated[str, typer.Option(help="Digest that you saw; another one is refused.")] = "",
    of: ForOption = "",
    as_json: JsonOption = False,
) -> int:
    """Deny a request."""
    return _decide(request_id, who, Said(Verdict.DENY, reason, digest, of), yes=True, as_json=as_json)


class Said(NamedTuple):
    """What was typed."""

    verdict: Verdict
    reason: str
    digest: str
    of: str


def _decide(request_id: str, who: str | None, said: Said, *, yes: bool, as_json: bool) -> int:
    with ApprovalsClient(load_settings(), who) as client:
        request = client.show(request_id)
        if not yes:
            _print_request(request)
            if not agrees("\nApprove exactly this?", "--yes approves without asking."):
                say("nothing was decided")
                return Exit.BAD
        try:
            decision = Decide(
                verdict=said.verdict, reason=said.reason, digest=said.digest or request.digest,
                delegation=client.delegation_of(said.of) if said.of else "",
            )  # fmt: skip
        except ValidationError as error:
            raise mistake_in(error, "`countersign approvals show` prints it.") from None
        reply = client.decide(request_id, decision)
    if as_json:
        print_json(reply)
    else:
        say(_in_words(reply))
    return Exit.OK if reply.outcome in {"decided", "stands"} and reply.refusal is None else Exit.BAD


def _in_words(reply: DecisionReply) -> str:
    if reply.vote is None:
        return f"not decided: {reply.message}"
    did = {Verdict.APPROVE: "approval", Verdict.DENY: "denial"}.get(reply.vote.verdict, f"{reply.vote.verdict} answer")
    if reply.outcome == "stands":
        return f"your earlier {did} stands"
    match reply.vote.state:
        case "accepted":
            return f"your {did} is recorded: {reply.message or 'the run has counted it'}"
        case "refused":
            return f"your {did} was not counted: {reply.message}"
        case "pending":
            return f"your {did} is signed and stored; the run will get it as soon as it can be reached"


def _print_request(request: RequestReply) -> None:
    name, meaning = TIERS.get(request.tier, (f"tier {request.tier}", ""))
    view = request.view
    console.print(
        Text.assemble(
            (f"{request.request_id}  ", "bold"),
            (request.state, STATE_COLOURS[request.state]),
            f"  tier {request.tier}, {name.lower()}: {meaning}",
        ),
        soft_wrap=True,
    )
    if view is None:
        say("What was asked cannot be shown: the stored page is damaged. It can only be denied or handed over.")
    else:
        _print_view(view)
    others = [choice.value.replace("_", "-") for choice in request.choices if choice.value not in ("approve", "deny")]
    if request.state == "open" and others:
        say(f"also    {', '.join(f'countersign approvals {other}' for other in others)}")
    left = request.expires_at - datetime.now(UTC)
    until = f", {duration(left)} left" if request.state == "open" else ""
    say(f"\nneeds   {requirement_in_words(request.requirement)}{until}")
    for moment in timetable(request.escalations, sla_at=request.sla_at, now=datetime.now(UTC)):
        if request.state == "open":
            say(f"        {moment.at}, {moment.away}: {moment.words}")
    for vote in request.votes:
        refused = f" ({REFUSALS[vote.refusal]})" if vote.refusal else ""
        name = f"{plain(vote.display_name)} for {plain(vote.for_name)}" if vote.for_name else plain(vote.display_name)
        when = f"{vote.cast_at:%Y-%m-%d %H:%M:%S} UTC"
        say(f"        {when}  {name}: {vote.verdict}, {vote.state}{refused}  {plain(vote.reason)}".rstrip())
    say(f"run     {request.run_id}\ndigest  {request.digest}")


def _print_view(view: ApprovalView) -> None:
    moved = amount(view.money_minor, view.currency) if view.money_minor is not None and view.currency else ""
    title = headline(view.tool_description, view.tool)
    console.print(Text(plain(f"\n{title}{': ' if moved else ''}{moved}"), "bold"), soft_wrap=True)
    say(plain(f"{view.resource_type} {view.resource_id}, by {view.agent} for {view.asked_by}"))
    undo = f"can be undone with {view.reversible_by}" if view.reversible_by else "CANNOT BE UNDONE"
    say(plain(f"{undo}; {'seen' if view.customer_visible else 'not seen'} outside the company\n"))
    rows: list[tuple[str, str, str]] = []
    for argument, value in view.arguments.items():
        label = str(view.provenance.get(argument, {}).get("label", ""))
        rows.append((plain(argument), plain(value), ORIGINS.get(label, ("origin not known", ""))[0]))
    print_table(("ARGUMENT", "VALUE", "FROM"), rows)
    for argument, trace in view.provenance.items():
        for note in notes_of(trace):
            say(plain(f"{argument}: {note}"))
    if view.before is not None and view.after is not None:
        names = [*view.before, *(field for field in view.after if field not in view.before)]
        changes = [(field, view.before.get(field, ""), view.after.get(field, "")) for field in names]
        console.print()
        print_table(
            ("FIELD", "BEFORE", "AFTER"),
            [(plain(field), plain(old), plain(new)) for field, old, new in changes if old != new],
        )
    console.print()
    for reason in view.reasons:
        say(plain(f"why     {reason.text} ({reason.policy})"))
    for said in view.earlier:
        say(plain(f"before  {said.display_name} {DID[said.verdict]} it at step {said.step}: {said.words}"))
        for change in said.changes:
            say(plain(f"        {change.name}: {change.before} → {change.after}"))
        if said.problem or said.answer:
            say(plain(f"        {said.problem or f'not verified, the model answered: {said.answer}'}"))
    say(plain(f"model   not verified, written by {view.served_model}: {view.model_reason or 'no reason given'}"))
