"""`countersign keys`: rotate and retire the keys that sign credentials and votes; revoke credentials."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text

from cli import key_store
from cli.key_store import Purpose
from cli.operators import AsOption, ReasonOption, reason_of, sign_in
from cli.output import CliError, Exit, JsonOption, print_json, print_table, say
from contracts.base import Record
from settings import Settings, SettingsError
from settings.key_files import replace_in_place
from settings.load import load_settings
from settings.secret_references import read_secret, referenced_file
from settings.signing_keys import SigningKey, key_set_text, new_key, parse_keys, public_set, retired, rotated
from store.revocations import EVERYBODY, Scope

__all__ = ["KeyLine", "mount"]

LEAD_S = 360
"""A new credential key is published this long before it signs: longer than anybody keeps the key set (300 s)."""
OVERLAP_S = 600
"""An old credential key stays published this long after its last signature: twice the longest life of a credential."""
_STATES = {"signs": "green", "next": "cyan", "ending": "yellow", "known": "", "retired": "red"}
PurposeArgument = Annotated[Purpose, typer.Argument(help="`credential` (calls of tools) or `vote` (approvals).")]


class KeyLine(Record):
    """One key."""

    purpose: Purpose
    kid: str
    state: Literal["signs", "next", "ending", "known", "retired"]
    """`known`: its public half is in the store, the private one is not in the key file here."""
    signs_from: datetime | None
    published_until: datetime | None
    """None: until it is rotated or retired."""


def mount(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Signing keys: list, rotate, retire. Credentials: revoke.")
    group.command("list")(list_keys)
    group.command("rotate")(rotate)
    group.command("retire")(retire)
    group.command("revoke")(revoke)
    app.add_typer(group, name="keys")


def list_keys(json: JsonOption = False) -> int:
    """List the keys of credentials and votes: which one signs, which come next, which are ending."""
    settings = load_settings()
    purposes: tuple[Purpose, ...] = ("credential", "vote")
    lines = [line for purpose in purposes for line in _lines(settings, purpose)]
    if json:
        print_json(lines)
        return Exit.OK
    rows = [
        (line.purpose, line.kid, Text(line.state, style=_STATES[line.state]), _time(line.signs_from),
         _time(line.published_until))
        for line in lines
    ]  # fmt: skip
    print_table(("PURPOSE", "KEY", "STATE", "SIGNS FROM", "PUBLISHED UNTIL"), rows)
    return Exit.OK


def rotate(
    purpose: PurposeArgument,
    who: AsOption,
    reason: ReasonOption,
    lead_s: Annotated[
        int | None, typer.Option("--lead", min=0, max=86_400, help="Seconds from publication to first use.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="Write the new private key set here, for keys that come by env: or command:.")
    ] = None,
) -> int:
    """Make a new key: it is published first and used later; the old one stays until what it signed is over.

    Workers and the form read the file again by themselves. Votes need no lead: a run is signed for with a key that it
    knows. Needs the role administer; who, when and why stay in the alarms of that person's tenant.
    """
    settings = load_settings()
    why = reason_of(reason)
    operator = sign_in(settings, who, "administer")
    now_s = int(time.time())
    keys = _keys(settings, purpose)
    lead = LEAD_S if lead_s is None else lead_s
    if purpose == "vote":
        # Old keys go on until they are retired: an open run knows no others.
        made = (*keys, new_key(now_s))
    else:
        made = rotated(keys, new_key(), now_s=now_s, lead_s=lead, overlap_s=OVERLAP_S)
    fresh = made[-1]
    file = _private_file(settings, purpose, into)
    key_store.note_rotated(settings, purpose, made)
    _write(settings, purpose, made, file)
    key_store.note_change(settings, operator, "key_rotated", purpose, fresh.kid, why)
    say(f"{purpose} key {fresh.kid} is published and signs from {_time(_when(fresh.not_before_s))}")
    for key in made[:-1]:
        until = f"until {_time(_when(key.expires_s))}" if key.expires_s else "until it is retired"
        say(f"{purpose} key {key.kid} stays published {until}")
    if into is not None:
        say(f"put the content of {into} where {_reference(settings, purpose).partition(':')[0]}: finds it, remove it")
    return Exit.OK


def retire(
    purpose: PurposeArgument,
    kid: Annotated[str, typer.Argument(help="The key, as `countersign keys list` shows it.")],
    who: AsOption,
    reason: ReasonOption,
    force: Annotated[
        bool, typer.Option("--force", help="It is compromised: what it signed is refused from now on.")
    ] = False,
) -> int:
    """Withdraw a key now. Without --force only when nothing that it signed can still be needed.

    Needs the role administer; who, when and why stay in the alarms of that person's tenant.
    """
    settings = load_settings()
    why = reason_of(reason)
    operator = sign_in(settings, who, "administer")
    now_s = int(time.time())
    keys = _keys(settings, purpose)
    found = next((key for key in keys if key.kid == kid), None)
    known = any(line.kid == kid and line.state != "retired" for line in _lines(settings, purpose))
    if found is None and not known:
        raise CliError(f"there is no {purpose} key {kid} in use. `countersign keys list` shows them.", Exit.BAD)
    if not force:
        _refuse_needed(settings, purpose, kid, found, now_s)
    if found is not None:
        try:
            left = retired(keys, kid, now_s)
        except ValueError as error:
            raise CliError(f"{error}. `countersign keys rotate {purpose} --lead 0` makes one.", Exit.BAD) from None
        file = _private_file(settings, purpose, None)
        key_store.note_retired(settings, purpose, kid)
        _write(settings, purpose, left, file)
    else:
        key_store.note_retired(settings, purpose, kid)
    key_store.note_change(settings, operator, "key_retired", purpose, kid, why)
    say(f"{purpose} key {kid} is withdrawn")
    return Exit.OK


def revoke(
    who: AsOption,
    reason: ReasonOption,
    run: Annotated[str, typer.Option(help="Credentials of this run.")] = "",
    agent: Annotated[str, typer.Option(help="Credentials of this agent.")] = "",
    tool: Annotated[str, typer.Option(help="Credentials of this tool.")] = "",
    everything: Annotated[bool, typer.Option("--everything", help="Every credential of the tenant.")] = False,
) -> int:
    """Revoke credentials that were minted so far: services refuse them within seconds. New ones are good again.

    It stops nothing that is minted afterwards: for that there are `countersign agent disable` and the kill switch.
    """
    settings = load_settings()
    wanted: list[tuple[Scope, str]] = [
        ("run", run), ("agent", agent), ("tool", tool), ("tenant", EVERYBODY if everything else "")
    ]  # fmt: skip
    named: list[tuple[Scope, str]] = [(scope, target) for scope, target in wanted if target]
    if len(named) != 1:
        raise CliError("say one of --run, --agent, --tool or --everything.")
    why = reason_of(reason)
    operator = sign_in(settings, who, "kill", "administer", stops=True)
    scope, target = named[0]
    epoch = key_store.revoke(settings, operator.tenant, scope, target, by=operator.username, reason=why)
    what = "every credential" if scope == "tenant" else f"credentials of {scope} {target}"
    say(f"{operator.tenant}: {what} before epoch {epoch} are revoked")
    return Exit.OK


def _lines(settings: Settings, purpose: Purpose) -> list[KeyLine]:
    now_s = int(time.time())
    try:
        here = {key.kid: key for key in _keys(settings, purpose)}
    except SettingsError:
        here = {}
    signing = [key for key in here.values() if key.not_before_s <= now_s and key.is_published(now_s)]
    current = signing[-1].kid if signing else ""
    lines = {kid: _line(purpose, key, current, now_s) for kid, key in here.items()}
    for kid, row in key_store.known_keys(settings, purpose).items():
        if row.retired:
            lines[kid] = KeyLine(purpose=purpose, kid=kid, state="retired", signs_from=row.signs_from,
                                 published_until=row.until)  # fmt: skip
        elif kid not in lines and (row.until is None or row.until > datetime.now(UTC)):
            lines[kid] = KeyLine(purpose=purpose, kid=kid, state="known", signs_from=row.signs_from,
                                 published_until=row.until)  # fmt: skip
    return list(lines.values())


def _line(purpose: Purpose, key: SigningKey, current: str, now_s: int) -> KeyLine:
    state = "signs" if key.kid == current else "next" if key.not_before_s > now_s else "ending"
    return KeyLine(
        purpose=purpose, kid=key.kid, state=state, signs_from=_when(key.not_before_s or None),
        published_until=_when(key.expires_s),
    )  # fmt: skip


def _refuse_needed(settings: Settings, purpose: Purpose, kid: str, key: SigningKey | None, now_s: int) -> None:
    if purpose == "credential":
        if key is not None and key.is_published(now_s) and (key.expires_s is None or now_s < key.expires_s):
            raise CliError(
                f"what {kid} signed may still be valid. Rotate and wait until it is over, or say --force if it is "
                "compromised.",
                Exit.BAD,
            )
        return
    runs = key_store.pinning_runs(settings, kid)
    if runs:
        raise CliError(
            f"{len(runs)} open runs verify votes with {kid}, such as {runs[0]}. Wait until they have ended, or say "
            "--force: their approvals cannot be granted any more then.",
            Exit.BAD,
        )


def _keys(settings: Settings, purpose: Purpose) -> tuple[SigningKey, ...]:
    reference = _reference(settings, purpose)
    try:
        return parse_keys(read_secret(reference, settings.state_dir).get_secret_value())
    except ValueError as error:
        where = referenced_file(reference, settings.state_dir) or reference.partition(":")[0]
        raise SettingsError(f"{where} {error}. Restore it from its backup.") from None


def _reference(settings: Settings, purpose: Purpose) -> str:
    return settings.credential_key_reference if purpose == "credential" else settings.vote_key_reference


def _private_file(settings: Settings, purpose: Purpose, into: Path | None) -> Path:
    """Where the private keys are written to."""
    if into is not None:
        into.touch(mode=0o600)
        return into
    file = referenced_file(_reference(settings, purpose), settings.state_dir)
    if file is None:
        kind = _reference(settings, purpose).partition(":")[0]
        raise CliError(f"the {purpose} keys come by {kind}: and cannot be written there. Say --into FILE.")
    return file


def _write(settings: Settings, purpose: Purpose, keys: tuple[SigningKey, ...], file: Path) -> None:
    """The public file first: nothing is used before it is published."""
    if purpose == "credential" and settings.credential_public_keys_file.exists():
        replace_in_place(settings.credential_public_keys_file, public_set(keys, time.time()))
    replace_in_place(file, key_set_text(keys))


def _when(unix_s: int | None) -> datetime | None:
    return None if unix_s is None else datetime.fromtimestamp(unix_s, UTC)


def _time(when: datetime | None) -> str:
    return "" if when is None else when.strftime("%Y-%m-%d %H:%M:%S UTC")
