"""`countersign effects`: the ledger of writes, the queue of those that nobody knows of, and closing a doubt."""

import asyncio
import json
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, cast

import typer
from rich.text import Text

from approvals.doubts import VERDICTS, DoubtLine, line_of
from approvals.wire import DoubtVerdict, ResolveDoubt
from approvals.words import amount, at, duration
from cli.approvals_client import ApprovalsClient
from cli.operators import ReasonOption, reason_of
from cli.output import CliError, Exit, JsonOption, print_json, print_table, say
from cli.run_source import open_store, tenants_of
from contracts.base import JsonObject
from contracts.call import EffectState
from settings import Settings
from settings.load import load_settings
from store.doubts import EffectPlace, StoredEffect, effects_in, find_effect

__all__ = ["mount"]

_KEY = re.compile(r"(run-[a-z2-7]{26})/(\d{1,6})/(\d{1,6})")
_ALARM_S = 900
TenantOption = Annotated[str | None, typer.Option("--tenant", help="Only this tenant. Default: every tenant.")]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="<run>/<step>/<call>, as `effects list` shows it.")]


def mount(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Writes: what happened, and what nobody knows about.")
    group.command("list")(list_)
    group.command("show")(show)
    group.command("resolve")(resolve)
    app.add_typer(group, name="effects")


def list_(
    every: Annotated[bool, typer.Option("--all", help="Every write, not only those in doubt.")] = False,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Only of this run.")] = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> int:
    """List the writes in doubt, oldest first. Exit code 1 when one has been in doubt for 15 minutes."""
    settings = load_settings()
    states = list(EffectState) if every else [EffectState.UNKNOWN]
    found = asyncio.run(_effects(settings, tenants_of(settings, tenant), states, run))
    lines = [(owner, line_of(effect)) for owner, effect in found]
    old = any(line.effect.state is EffectState.UNKNOWN and line.age_s >= _ALARM_S for _, line in lines)
    if as_json:
        print_json([effect for _, effect in found])
    elif not lines:
        say("no writes." if every else "nothing is in doubt. --all lists every write.")
    else:
        several = len({owner for owner, _ in lines}) > 1
        columns = ("KEY", "TOOL", "AMOUNT", "STATE", "FOR", "ASKED", "SAID", "RUN")
        print_table(
            (*(("TENANT",) if several else ()), *columns),
            [(*((owner,) if several else ()), *_row(line)) for owner, line in lines],
        )
    return Exit.BAD if old and not every else Exit.OK


def show(key: KeyArgument, tenant: TenantOption = None, as_json: JsonOption = False) -> int:
    """Show one write: what was sent, how often, what the service said when it was asked, who closed it."""
    settings = load_settings()
    effect = asyncio.run(_find(settings, tenants_of(settings, tenant), key))
    if as_json:
        print_json(effect)
        return Exit.OK
    line = line_of(effect)
    say(f"{effect.key}  {effect.tool} version {effect.tool_version} at {effect.service or 'no service'}")
    closed = f", said by {effect.resolved_by}" if effect.resolved_by else ""
    say(f"  state     {effect.state.value.replace('_', ' ')}{closed}")
    if effect.state is EffectState.UNKNOWN:
        say(f"  in doubt  for {_words(line.age_s)}")
        left = f"for {_words(line.credential_left_s)}" if line.credential_left_s else "not any more"
        say(f"  may still arrive {left}")
        said = f", last said {effect.probe_said}" if effect.probe_said else ""
        say(f"  asked     {effect.probes} times by workers{said}")
    if effect.currency is not None:
        say(f"  amount    {amount(effect.amount_minor or 0, effect.currency)}")
    sent = f", first {at(effect.first_sent_at)}" if effect.first_sent_at else ""
    say(f"  sent      {effect.attempts} times{sent}")
    say(f"  deed      {effect.natural_key or 'not named: nothing notices a repetition'}")
    say(f"  asked for {_compact(effect.arguments)}")
    if effect.output:
        say(f"  came of it {_compact(effect.output)}")
    if effect.error:
        say(f"  last word {effect.error}")
    say(f"  run       {'over' if effect.run_closed else 'open'}: countersign runs show {effect.run_id}")
    if effect.state is EffectState.UNKNOWN:
        say(f"Look it up in {effect.service}, then: countersign effects resolve {effect.key} --happened --reason …")
    return Exit.OK


def resolve(
    key: KeyArgument,
    reason: ReasonOption = "",
    happened: Annotated[bool, typer.Option("--happened", help="It happened.")] = False,
    did_not_happen: Annotated[bool, typer.Option("--did-not-happen", help="It did not happen.")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="Close it without knowing.")] = False,
    cannot_arrive: Annotated[
        bool,
        typer.Option(
            "--cannot-arrive",
            help="With --did-not-happen: what was sent cannot arrive any more, although its credential is good.",
        ),
    ] = False,
    output: Annotated[
        str, typer.Option("--output", metavar="JSON", help="With --happened: what the service answered.")
    ] = "",
    who: Annotated[str | None, typer.Option("--as", help="Who you are: USER, or TENANT/USER.")] = None,
) -> int:
    """Say what became of a write in doubt. Needs the role undo; recorded with your name, and not to be taken back."""
    options: dict[DoubtVerdict, bool] = {"happened": happened, "did_not_happen": did_not_happen, "abandon": abandon}
    said: list[DoubtVerdict] = [verdict for verdict, given in options.items() if given]
    if len(said) != 1:
        raise CliError("say one of --happened, --did-not-happen, --abandon.")
    _place("-", key)
    body = ResolveDoubt(
        verdict=said[0],
        reason=reason_of(reason),
        cannot_arrive=cannot_arrive,
        output=_object(output) if output else None,
    )
    with ApprovalsClient(load_settings(), who) as client:
        closed = client.resolve_doubt(key, body)
    told = {
        "run_over": "its run is over, so only ledger and audit say so",
        "told": "its run goes on",
        "will_be_told": "its run is told as soon as it looks",
    }[closed.run_told]
    say(f"{key}: {VERDICTS[said[0]].lower()} ({closed.state.value.replace('_', ' ')}); {told}.")
    return Exit.OK


async def _effects(
    settings: Settings, tenants: Sequence[str], states: Sequence[EffectState], run: str | None
) -> list[tuple[str, StoredEffect]]:
    found: list[tuple[str, StoredEffect]] = []
    async with open_store(settings) as store:
        for tenant in tenants:
            async with store.tenant(tenant) as cursor:
                found += [(tenant, effect) for effect in await effects_in(cursor, tenant, states, run_id=run)]
    return found


async def _find(settings: Settings, tenants: Sequence[str], key: str) -> StoredEffect:
    async with open_store(settings) as store:
        for tenant in tenants:
            async with store.tenant(tenant) as cursor:
                effect = await find_effect(cursor, _place(tenant, key))
            if effect is not None:
                return effect
    raise CliError(f"there is no write {key}. `countersign effects list --all` shows them.", Exit.BAD)


def _place(tenant: str, key: str) -> EffectPlace:
    match = _KEY.fullmatch(key.strip())
    if match is None:
        raise CliError(f"{key} is no key of a write: <run>/<step>/<call>, as `countersign effects list` shows it.")
    return EffectPlace(tenant, match[1], int(match[2]), int(match[3]))


def _object(text: str) -> JsonObject:
    try:
        value: object = json.loads(text)
    except ValueError as error:
        raise CliError(f"--output is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise CliError("--output must be a JSON object, as the tool's output is.")
    return cast("JsonObject", value)


def _row(line: DoubtLine) -> Sequence[str | Text]:
    effect = line.effect
    in_doubt = effect.state is EffectState.UNKNOWN
    style = {"new": "", "old": "yellow", "very_old": "red"}[line.rating] if in_doubt else ""
    return (
        effect.key,
        effect.tool,
        amount(effect.amount_minor or 0, effect.currency) if effect.currency else "",
        effect.state.value.replace("_", " "),
        Text(_words(line.age_s), style=style),
        str(effect.probes),
        effect.probe_said,
        "over" if effect.run_closed else "open",
    )


def _words(seconds: int) -> str:
    return duration(timedelta(seconds=seconds))


def _compact(text: str) -> str:
    return json.dumps(json.loads(text), ensure_ascii=False)
