"""`countersign approvals sign-in` and `sign-out`: the session in which this command line speaks for a person."""

from typing import Annotated

import typer

from approvals.characters import plain
from cli.approvals_client import ApprovalsClient
from cli.output import CliError, Exit, JsonOption, print_json, say
from settings.load import load_settings

__all__ = ["mount_sign_in"]


def mount_sign_in(group: typer.Typer) -> None:
    """Add the commands to the group."""
    group.command("sign-in")(sign_in)
    group.command("sign-out")(sign_out)


def sign_in(
    who: Annotated[
        str | None,
        typer.Option("--as", help="USER or TENANT/USER: nobody else is accepted. Default: whoever says yes."),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Organisation. Default: that of --as, or the only one.")] = None,
    password: Annotated[
        bool, typer.Option("--password", help="By the password of a local account instead of in the browser.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Sign in, in the browser, however you sign in there. Again proves anew who you are, which tier 4 demands."""
    if password and who is None:
        raise CliError("say whose password: --as USER (or TENANT/USER).")
    settings = load_settings()
    with ApprovalsClient(settings, who, tenant=tenant, anybody=who is None) as client:
        me = client.sign_in(by_password=password)
    if as_json:
        print_json(me)
        return Exit.OK
    roles = ", ".join(me.roles) or "no roles"
    say(plain(f"signed in as {me.display_name} ({me.tenant}/{me.name}): {roles}; until {me.expires_at:%H:%M} UTC"))
    return Exit.OK


def sign_out() -> int:
    """End the session, on the server too."""
    with ApprovalsClient(load_settings(), None, anybody=True) as client:
        ended = client.sign_out()
    say("signed out" if ended else "nobody was signed in")
    return Exit.OK
