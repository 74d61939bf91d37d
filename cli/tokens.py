"""`countersign tokens`: tokens of machines, made, listed and revoked by administrators through the API."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.text import Text

from approvals.characters import plain
from approvals.wire import NewToken, RevokeToken
from approvals.words import at
from cli.approvals_client import ApprovalsClient
from cli.mistakes import mistake_in
from cli.output import Exit, JsonOption, print_json, print_table, say
from settings.load import load_settings
from store.api_tokens import SCOPES

__all__ = ["mount"]

AsOption = Annotated[
    str | None, typer.Option("--as", help="USER or TENANT/USER with the role administer. Default: who signed in last.")
]
_COLOURS = {"active": "green", "expired": "dim", "revoked": "red"}


def mount(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Tokens of machines: they list, look and stop; they never decide.")
    group.command("create")(create)
    group.command("list")(list_all)
    group.command("revoke")(revoke)
    app.add_typer(group, name="tokens")


def create(
    name: Annotated[str, typer.Argument(help="What it is for: the program, and whose it is.")],
    scope: Annotated[list[str], typer.Option(help=f"One of {', '.join(SCOPES)}; may be given again.")],
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it lives.")] = 90,
    who: AsOption = None,
    as_json: JsonOption = False,
) -> int:
    """Make a token. It is printed once, alone on standard output: nobody can show it again."""
    try:
        new = NewToken.model_validate({"name": name, "scopes": tuple(scope), "days": days})
    except ValidationError as error:
        raise mistake_in(error) from None
    with ApprovalsClient(load_settings(), who) as client:
        made = client.make_token(new)
    if as_json:
        print_json(made)
        return Exit.OK
    typer.echo(f"{made.kept.token_id} lives until {at(made.kept.expires_at)}. Keep what follows as a secret:", err=True)
    typer.echo(made.token)
    return Exit.OK


def list_all(who: AsOption = None, as_json: JsonOption = False) -> int:
    """List the tokens, the newest first; never the tokens themselves."""
    with ApprovalsClient(load_settings(), who) as client:
        tokens = client.tokens()
    if as_json:
        print_json(tokens)
        return Exit.OK
    if not tokens:
        say("there are no tokens")
        return Exit.OK
    now = datetime.now(UTC)
    print_table(
        ("TOKEN", "FOR", "SCOPES", "STATE", "BY", "DAYS LEFT", "LAST USED"),
        [
            (
                token.token_id,
                plain(token.name),
                ", ".join(token.scopes),
                Text(token.state, _COLOURS[token.state]),
                plain(token.created_by),
                str((token.expires_at - now).days) if token.state == "active" else "",
                at(token.last_used_at) if token.last_used_at else "never",
            )
            for token in tokens
        ],
    )
    return Exit.OK


def revoke(
    token_id: Annotated[str, typer.Argument(metavar="TOKEN", help="Id of the token, tok-….")],
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")],
    who: AsOption = None,
    as_json: JsonOption = False,
) -> int:
    """End a token at once. Again changes nothing."""
    try:
        why = RevokeToken(reason=reason)
    except ValidationError as error:
        raise mistake_in(error) from None
    with ApprovalsClient(load_settings(), who) as client:
        token = client.revoke_token(token_id, why)
    if as_json:
        print_json(token)
    else:
        say(plain(f"{token.token_id} ({token.name}) is revoked, by {token.revoked_by}"))
    return Exit.OK
