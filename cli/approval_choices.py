"""`countersign approvals edit`, `ask` and `hand-over`: what else can be said to a request than yes or no."""

import json
from typing import Annotated, cast

import typer
from pydantic import JsonValue, ValidationError
from rich.text import Text

from approvals.characters import plain
from approvals.wire import Decide, DecisionReply, RequestReply
from cli.approvals_client import ApprovalsClient
from cli.asking import agrees
from cli.mistakes import mistake_in
from cli.output import CliError, Exit, JsonOption, console, print_json, print_table, say
from contracts.base import JsonObject
from contracts.vote import Verdict
from settings.load import load_settings

__all__ = ["mount_choices"]

AsOption = Annotated[str | None, typer.Option("--as", help="USER or TENANT/USER. Default: who signed in last.")]
RequestArgument = Annotated[str, typer.Argument(metavar="REQUEST", help="Id of the request, apr-….")]
ForOption = Annotated[str, typer.Option("--for", help="Who named you their delegate: you decide in their place.")]
DigestOption = Annotated[str, typer.Option(help="Digest that you saw; another one is refused.")]
_NOUNS = {Verdict.EDIT: "edit", Verdict.ASK: "question", Verdict.HAND_OVER: "hand-over"}


def mount_choices(group: typer.Typer) -> None:
    """Add the commands to the group."""
    group.command("edit")(edit)
    group.command("ask")(ask)
    group.command("hand-over")(hand_over)


def edit(
    request_id: RequestArgument,
    reason: Annotated[str, typer.Option(help="Why. The agent and everybody who is asked will read it.")],
    changes: Annotated[
        list[str], typer.Option("--set", metavar="NAME=VALUE", help="A changed argument; a JSON value, or a text.")
    ],
    who: AsOption = None,
    of: ForOption = "",
    digest: DigestOption = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not show the change and ask.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Change a call's arguments: it is validated, decided by policy and put before people anew."""
    with ApprovalsClient(load_settings(), who) as client:
        request = client.show(request_id)
        if request.view is None or request.arguments_schema is None:
            raise CliError("its arguments cannot be edited. `countersign approvals show` says what can be decided.")
        before = request.view.arguments
        after = {**before, **_changed(before, changes)}
        if not yes:
            _print_change(before, after)
            if not agrees("\nAsk again with exactly this?", "--yes sends it without asking."):
                say("nothing was changed")
                return Exit.BAD
        return _send(client, request, Verdict.EDIT, reason, digest, of, arguments=after, as_json=as_json)


def ask(
    request_id: RequestArgument,
    question: Annotated[str, typer.Option(help="What the agent shall answer. It may propose the call again.")],
    who: AsOption = None,
    of: ForOption = "",
    digest: DigestOption = "",
    as_json: JsonOption = False,
) -> int:
    """Ask the agent instead of deciding: the request ends, nothing runs."""
    with ApprovalsClient(load_settings(), who) as client:
        return _send(client, client.show(request_id), Verdict.ASK, question, digest, of, as_json=as_json)


def hand_over(
    request_id: RequestArgument,
    reason: Annotated[str, typer.Option(help="Who goes on, and why.")],
    who: AsOption = None,
    of: ForOption = "",
    digest: DigestOption = "",
    as_json: JsonOption = False,
) -> int:
    """Take a call over: it will not run, and the agent's run ends with a packet for the person who goes on."""
    with ApprovalsClient(load_settings(), who) as client:
        return _send(client, client.show(request_id), Verdict.HAND_OVER, reason, digest, of, as_json=as_json)


def _send(
    client: ApprovalsClient,
    request: RequestReply,
    verdict: Verdict,
    reason: str,
    digest: str,
    of: str,
    *,
    arguments: JsonObject | None = None,
    as_json: bool,
) -> int:
    try:
        decision = Decide(
            verdict=verdict,
            reason=reason,
            digest=digest or request.digest,
            delegation=client.delegation_of(of) if of else "",
            arguments=arguments,
        )
    except ValidationError as error:
        raise mistake_in(error, "`countersign approvals show` prints it.") from None
    reply = client.decide(request.request_id, decision)
    if as_json:
        print_json(reply)
    else:
        _print(reply, verdict, request.run_id)
    return Exit.OK if reply.outcome in {"decided", "stands"} and reply.refusal is None else Exit.BAD


def _print(reply: DecisionReply, verdict: Verdict, run_id: str) -> None:
    for name, problem in reply.problems.items():
        say(plain(f"{name}: {problem}" if name else problem))
    if reply.vote is None:
        say(f"nothing was changed: {reply.message}")
        return
    if reply.outcome == "stands":
        say(f"you have decided this before ({reply.vote.verdict.value.replace('_', ' ')}); that stands")
    elif reply.vote.state == "refused":
        say(f"your {_NOUNS[verdict]} was not counted: {reply.message}")
    elif reply.vote.state == "pending":
        say(f"your {_NOUNS[verdict]} is signed and stored; the run will get it as soon as it can be reached")
    else:
        say(f"your {_NOUNS[verdict]} is recorded. `countersign runs show {run_id}` says what becomes of it.")


def _changed(before: JsonObject, changes: list[str]) -> JsonObject:
    """Arguments given as NAME=VALUE. What is a text at present is taken as it stands."""
    found: JsonObject = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or name not in before:
            raise CliError(f"--set {change}: write NAME=VALUE, with one of: {', '.join(before)}")
        found[name] = text if isinstance(before[name], str) else _value(text)
    return found


def _value(text: str) -> JsonValue:
    try:
        return cast("JsonValue", json.loads(text))
    except ValueError:
        return text


def _print_change(before: JsonObject, after: JsonObject) -> None:
    names = [name for name in {**before, **after} if before.get(name) != after.get(name) or name not in after]
    print_table(
        ("ARGUMENT", "ASKED", "YOURS"),
        [(plain(name), plain(before.get(name, "")), Text(plain(after.get(name, "")), "bold")) for name in names],
    )
    console.print()
    say("Policy decides it anew: people are asked again, or it runs where the agent may do it alone, or it is denied.")
