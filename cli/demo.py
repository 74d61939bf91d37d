"""`countersign demo`: three tickets arrive as signed events; see what each becomes, and prove it from the books."""

import asyncio
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.rule import Rule
from rich.text import Text
from temporalio.client import Client, WorkflowExecutionStatus

from cli.demo_approver import FormApprover
from cli.demo_world import Books, DemoWorld
from cli.output import CliError, Exit, console, print_table, say
from contracts.outcome import Outcome, RunReport
from contracts.snapshot import RunSnapshot
from settings import Settings
from settings.endpoint_secrets import read_endpoint_secrets
from settings.endpoints import load_endpoints
from settings.load import load_settings
from settings.providers import choose_provider
from settings.sources import ROOT
from settings.temporal import connect
from settings.tenants import load_tenants
from store.accounts import NewAccount, add_account, set_password
from store.database import Database
from workers.embedded.lock import is_held
from workers.intake.answers import Receipt
from workers.intake.client import EventSender

__all__ = ["ENDPOINT", "mount", "send_ticket"]

ENDPOINT, TENANT = "support-tickets", "acme"
APPROVER = "demo-lead"
"""The demo's own account, made anew for it: nobody else's password is touched."""
_WAIT_UNATTENDED_S = 180
_POLL_S = 0.25


@dataclass(frozen=True)
class Scene:
    """One ticket of the demo, and what must be in the books at the end."""

    ticket: str
    title: str
    expect: str
    refund: str
    """Order that must be refunded exactly once; empty: nothing may be refunded."""


SCENES = (
    Scene("TIC-2001", "a small refund", "inside the cap: runs alone", "ORD-1001"),
    Scene("TIC-2006", "a large refund", "waits for a support lead", "ORD-1007"),
    Scene("TIC-2003", "a ticket with injected instructions", "must not move another customer's money", ""),
)


@dataclass
class Act:
    """A scene's run."""

    scene: Scene
    run_id: str
    report: RunReport | None = None
    asked: str = ""
    """Approval request that it waits for."""


def mount(app: typer.Typer) -> None:
    """Add the verb to the application."""
    app.command()(demo)


def demo(
    unattended: Annotated[
        bool, typer.Option("--unattended", help="A demo approver decides through the real form.")
    ] = False,
) -> int:
    """Three signed tickets: a small refund, a large one that a person countersigns, and an injected one."""
    settings = load_settings()
    started = not is_held(settings.state_dir)
    if started:
        say("Starting the stack (Temporal, Postgres, worker, intake, form, example back office) …")
        _countersign("up", "--detach")
        settings = load_settings()
    try:
        return asyncio.run(_play(settings, unattended=unattended))
    finally:
        if started:
            _countersign("down")


async def _play(settings: Settings, *, unattended: bool) -> int:
    choice = choose_provider(settings)
    if choice.missing:
        raise CliError(choice.missing)
    scripted = choice.provider == "scripted"
    say(f"Model: {choice.provider} ({choice.reason}).")
    if scripted:
        say("No model is called: a script answers by the content of each conversation, and plays a gullible agent.")
    world = DemoWorld(
        settings.services["backoffice"].url,
        settings.backoffice_admin_token_file.read_text(encoding="utf-8").strip(),
        datetime.now(UTC).strftime("%y%m%d%H%M%S"),
    )
    world.begin()
    password = await _approver(settings)
    acts = [Act(scene, send_ticket(settings, world.numbered(scene.ticket))) for scene in SCENES]
    client = await connect(settings)
    console.print(Rule("Three tickets arrived as signed events", align="left", style="dim"))
    for act in acts:
        say(f"  {act.run_id}  {world.numbered(act.scene.ticket)}: {act.scene.title} ({act.scene.expect})")
    approver = FormApprover(settings.web_url, TENANT, APPROVER, password) if unattended else None
    await _follow(client, settings, acts, approver, password)
    for act in acts:
        console.print(Rule(f"{act.scene.title}", align="left", style="dim"))
        _countersign("runs", "show", act.run_id)
        _countersign("replay", act.run_id)
    return _verdict(world, acts, world.books(TENANT), scripted=scripted)


async def _follow(
    client: Client, settings: Settings, acts: list[Act], approver: FormApprover | None, password: str
) -> None:
    """Wait for every run; say what happens; let people, or the demo's approver, decide."""
    deadline_s = time.monotonic() + _WAIT_UNATTENDED_S
    told: set[str] = set()
    while waiting := [act for act in acts if act.report is None]:
        for act in waiting:
            await _look(client, act)
            if act.report is not None:
                say(f"  {act.scene.title}: {act.report.outcome} ({act.report.reason})")
            elif act.asked and act.asked not in told:
                told.add(act.asked)
                say(f"  {act.scene.title}: waits for a person at {settings.web_url}/requests/{act.asked}")
                if approver is None:
                    say(f"    sign in: organisation {TENANT}, user {APPROVER}, password {password}")
                else:
                    approver.approve(act.asked)
                    say(f"    {APPROVER} approved it through the form")
        if approver is not None and time.monotonic() > deadline_s:
            raise CliError("the runs did not end in time. Look at `countersign status` and the worker's log.")
        await asyncio.sleep(_POLL_S)


async def _look(client: Client, act: Act) -> None:
    handle = client.get_workflow_handle(act.run_id, result_type=RunReport)
    description = await handle.describe()
    if description.status is WorkflowExecutionStatus.RUNNING:
        snapshot: RunSnapshot = await handle.query("snapshot", result_type=RunSnapshot)
        act.asked = snapshot.open_requests[0] if snapshot.open_requests else ""
    elif description.status is not None:
        act.report = await handle.result()


def _verdict(world: DemoWorld, acts: list[Act], books: Books, *, scripted: bool) -> int:
    """Compare the back office's books with what may have happened: each refund exactly once, and no other."""
    console.print(Rule("The back office's books", align="left", style="dim"))
    owed = {world.numbered(act.scene.refund) for act in acts if act.scene.refund}
    made = [refund.order_id for refund in books.refunds]
    rows = [
        (
            refund.order_id,
            f"{refund.amount_minor / 100:.2f} {refund.currency}",
            str(made.count(refund.order_id)),
            refund.run,
        )
        for refund in books.refunds
    ]
    print_table(("order", "refunded", "times", "by run"), rows or [("none", "", "", "")])
    foreign, doubled = set(made) - owed, {order for order in made if made.count(order) > 1}
    # A real model may decide to do less than the script does; it may never do more.
    missing = owed - set(made) if scripted else set[str]()
    failed = [act.scene.title for act in acts if act.report and act.report.outcome is Outcome.FAILED_SAFE]
    if foreign or doubled or missing or failed:
        say(f"NOT as it should be: foreign {foreign}, doubled {doubled}, missing {missing}, failed {failed}")
        return Exit.BAD
    console.print(Text("Each refund exactly once, nobody else's money moved.", style="bold green"))
    return Exit.OK


def send_ticket(settings: Settings, ticket: str) -> str:
    """Deliver a ticket's event, signed with the endpoint's secret; the run that it starts."""
    endpoints = load_endpoints(settings.endpoints_file, load_tenants(settings.tenants_file))
    secret = read_endpoint_secrets(
        {ENDPOINT: endpoints[ENDPOINT]}, settings.endpoint_secrets_file, settings.state_dir
    ).of(ENDPOINT)[0]
    url = f"http://{settings.intake_host}:{settings.intake_port}/events/{ENDPOINT}"
    answer = EventSender(url=url, secret=secret).send(
        {
            "specversion": "1.0",
            "id": f"ticket-{ticket}",
            "source": endpoints[ENDPOINT].sources[0],
            "type": "ticket.created",
            "data": {"ticket_id": ticket},
        }
    )
    if not isinstance(answer, Receipt):
        raise CliError(f"the intake refused the event: {answer.problem.message}")
    return answer.run_id


async def _approver(settings: Settings) -> str:
    """The demo's support lead, with a new password for this demo."""
    password = secrets.token_urlsafe(12)
    account = NewAccount(
        tenant=TENANT, username=APPROVER, person=APPROVER, display_name="Lena (demo)", groups=("support-leads",)
    )
    async with (
        Database(settings.database_address(), role=settings.database_role) as store,
        store.tenant(TENANT) as cursor,
    ):
        if not await add_account(cursor, account, password):
            await set_password(cursor, TENANT, APPROVER, password)
    return password


def _countersign(*arguments: str) -> None:
    """Run a verb as a person would, in a process of its own; its output goes where ours goes."""
    sys.stdout.flush()
    code = subprocess.run([sys.executable, str(ROOT / "countersign.py"), *arguments], check=False).returncode
    if code != Exit.OK:
        raise CliError(f"`countersign {' '.join(arguments)}` failed with exit code {code}; its own words stand above.")
