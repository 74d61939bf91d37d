"""`countersign kill drill`: the kill switch under load, on the running stack and its example back office."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from approvals.switching import Refused, ThrowSwitch, release, throw
from cli.demo import ENDPOINT, send_ticket
from cli.demo_world import DemoWorld
from cli.operators import AsOption, Operator, sign_in, store_of, unreachable
from cli.output import CliError, Exit, JsonOption, print_json, print_table, say
from incidents.drill import DrillReport, drill
from settings import Settings
from settings.endpoints import load_endpoints
from settings.load import load_settings
from settings.tenants import TenantsFile, load_tenants
from store.database import Database, StoreDown
from store.switches import Thrown

__all__ = ["drill_command"]

_TICKET = "TIC-2001"
_SENDERS = 8


def drill_command(
    who: AsOption,
    runs: Annotated[int, typer.Option(min=1, max=200, help="How many runs to start.")] = 20,
    wait_s: Annotated[float, typer.Option("--wait", min=5, max=600, help="Longest wait of each phase, seconds.")] = 120,
    as_json: JsonOption = False,
) -> int:
    """Start runs of the example agent, throw its switch under load, measure, release, see that all settles.

    It fills the example back office afresh. Exit code 1: the switch did not do what it promises.
    """
    settings = load_settings()
    tenants = load_tenants(settings.tenants_file)
    operator = sign_in(settings, who, "kill")
    endpoint = load_endpoints(settings.endpoints_file, tenants)[ENDPOINT]
    if endpoint.tenant != operator.tenant:
        raise CliError(f"the drill's events belong to tenant {endpoint.tenant}: say --as {endpoint.tenant}/USER.")
    try:
        report = asyncio.run(_drill(settings, tenants, operator, runs, wait_s, quiet=as_json))
    except StoreDown as error:
        raise unreachable(error) from error
    except TimeoutError as error:
        raise CliError(f"{error}. The switch has been released. Look at `countersign status`.", Exit.BAD) from error
    if as_json:
        print_json(report)
    else:
        _print(report)
    return Exit.OK if report.passed else Exit.BAD


async def _drill(
    settings: Settings, tenants: TenantsFile, operator: Operator, runs: int, wait_s: float, *, quiet: bool
) -> DrillReport:
    stamp = datetime.now(UTC).strftime("%y%m%d%H%M%S")
    stamps = [f"{stamp}{number:03}" for number in range(runs)]
    token = settings.backoffice_admin_token_file.read_text(encoding="utf-8").strip()
    url = settings.services["backoffice"].url
    DemoWorld(url, token, stamp).begin_with(stamps)
    senders = asyncio.Semaphore(_SENDERS)

    async def start(number: int) -> str:
        ticket = DemoWorld(url, token, stamps[number]).numbered(_TICKET)
        async with senders:
            return await asyncio.to_thread(send_ticket, settings, ticket)

    async with store_of(settings) as store, Database(settings.database_address(), role=settings.database_role) as eyes:

        async def on() -> Thrown:
            asked = ThrowSwitch(scope="tenant", reason="kill switch drill")
            thrown = await throw(store, tenants, tenant=operator.tenant, by=operator.username, asked=asked)
            if isinstance(thrown, Refused):
                raise CliError(thrown.why)
            if not thrown.fresh:
                raise CliError(f"switch {thrown.switch_id} is on: release it before you drill.", Exit.BAD)
            return thrown

        async def off(switch_id: int) -> None:
            await release(
                store, tenants, tenant=operator.tenant, by=operator.username, switch_id=switch_id,
                reason="kill switch drill is over",
            )  # fmt: skip

        return await drill(
            eyes, operator.tenant, start=start, throw=on, release=off, runs=runs, wait_s=wait_s,
            say=(lambda _line: None) if quiet else say,
        )  # fmt: skip


def _print(report: DrillReport) -> None:
    last = report.last_admission_before_ms
    say(f"switch {report.switch_id} held after {report.throw_ms:.0f} ms, with {report.runs} runs at work")
    say(f"  admitted before it: {report.admitted_before}, the last {last or 0:.0f} ms before")
    after = f"models called: {report.models_called_after}; writes sent: {report.sent_after}"
    say(f"  admitted after it: {report.admitted_after}; {after}")
    say(f"  stood still: {report.paused} paused, {report.closed_before} had ended")
    say(f"  under way when it fell: {len(report.receipts)}, unsettled by now: {len(report.unsettled)}")
    if report.receipts:
        print_table(
            ("  RUN", "STEP", "WHAT", "THEN", "NOW"),
            [(one.run_id, str(one.step), one.tool or "model call", one.state, one.now) for one in report.receipts],
        )
    say(f"  after the release everything settled in {report.released_to_settled_s:.1f} s")
    if report.unsettled_runs:
        say(f"  still open: {', '.join(report.unsettled_runs)}")
    say("the switch did what it promises." if report.passed else "the switch did NOT do what it promises.")
