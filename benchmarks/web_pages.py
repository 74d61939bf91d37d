"""`make bench-pages`: bytes and time of the pages that approvers open, with 100,000 requests in the store.

The form's own process on an embedded Postgres with its durable settings, asked over HTTP by one browser's worth of
client. Time is from the first byte of the request to the last of the answer.
"""

import asyncio
import json
import os
import re
import secrets
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from joserfc.jwk import OKPKey
from rich.console import Console
from rich.table import Table

from benchmarks.approval_data import GROUPS, fill
from settings.sources import ENV_PREFIX, ROOT
from store.accounts import NewAccount, add_account
from store.database import Database
from workers.embedded.component import Component
from workers.embedded.database import create_application_database
from workers.embedded.ports import some_free
from workers.embedded.postgres import LOGIN, PostgresServer
from workers.embedded.probe import HttpProbe
from workers.embedded.supervisor import Supervisor

__all__ = ["PASSWORD", "ROLE", "TENANT", "form_process", "quiet"]

BYTES_MAX = 60 * 1024
"""HTML, style sheets and scripts of one page, not compressed."""
P95_MS_MAX = 30
REQUESTS = 100_000
TENANT, ROLE, PASSWORD = "bench", "countersign_app", secrets.token_urlsafe(12)
_ROUNDS, _WARM = 300, 20
_ASSET = re.compile(r'(?:href|src)="(/static/[^"]+\.(?:css|js))"')


@dataclass(frozen=True)
class PageFigures:
    """One page."""

    name: str
    html_bytes: int
    """Of the largest of the answers."""
    asset_bytes: int
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    """User and system time of the form's process for one page."""

    @property
    def is_within(self) -> bool:
        """Whether both bounds hold."""
        return self.html_bytes + self.asset_bytes <= BYTES_MAX and self.p95_ms <= P95_MS_MAX


async def main() -> int:
    """Measure, print, and say by the exit code whether all bounds hold."""
    # A short path: the socket of Postgres lies below it.
    folder = Path(tempfile.mkdtemp(prefix="countersign-pages-"))
    postgres = PostgresServer.at(folder / "postgres")
    servers = Supervisor([postgres.component(quiet)], log_folder=folder, say=quiet)
    try:
        await servers.start()
        create_application_database(postgres)
        shown = await _filled(postgres)
        component = form_process(folder, postgres.url(user=LOGIN))
        form = Supervisor([component], log_folder=folder, say=quiet)
        try:
            await form.start()
            process = form.statuses()["form"].process
            if process is None:
                raise SystemExit("the form does not run")
            found = await _measured(component.address, psutil.Process(process.pid), shown)
        finally:
            await form.stop()
    finally:
        await servers.stop()
        shutil.rmtree(folder, ignore_errors=True)
    _print(found)
    return 0 if all(page.is_within for page in found) else 1


async def _filled(postgres: PostgresServer) -> list[tuple[str, str]]:
    """Fill the store; ids of requests that are open, each with its run."""
    began = time.monotonic()
    async with Database(postgres.url(user=LOGIN), role=ROLE) as database:
        await fill(database, postgres.url(), TENANT, requests=REQUESTS)
        new = NewAccount(
            tenant=TENANT, username="lena", person="lena", display_name="Lena", groups=GROUPS[:2],
            roles=("view", "approve"),
        )  # fmt: skip
        async with database.tenant(TENANT) as cursor:
            await add_account(cursor, new, PASSWORD)
            await cursor.execute(
                """select request_id, run_id from approval_requests join runs using (tenant, run_id)
                   where tenant = %s and state = 'open' limit %s""",
                (TENANT, _ROUNDS + _WARM),
            )
            shown = [(str(row["request_id"]), str(row["run_id"])) for row in await cursor.fetchall()]
    print(f"{REQUESTS:,} requests in the store after {time.monotonic() - began:.0f} s")
    return shown


async def _measured(address: str, process: psutil.Process, shown: list[tuple[str, str]]) -> list[PageFigures]:
    pages = {
        "request": [f"/requests/{request_id}" for request_id, _ in shown],
        "run": [f"/runs/{run_id}" for _, run_id in shown],
        "inbox, for me": ["/requests"],
        "inbox, all": ["/requests?scope=all"],
        "inbox, by risk": ["/requests?scope=groups&sort=risk"],
        "search": [f"/requests?scope=all&search=target_{number:08}" for number in range(1, 200)],
        "history": ["/requests?state=history&scope=all"],
        "decide several": ["/requests/batch"],
    }
    async with httpx.AsyncClient(base_url=address, headers={"origin": address}, timeout=30) as client:
        form = {"tenant": TENANT, "username": "lena", "password": PASSWORD}
        if not (await client.post("/sign-in", data=form)).is_redirect:
            raise SystemExit("nobody can sign in")
        return [await _page(client, process, name, addresses) for name, addresses in pages.items()]


async def _page(client: httpx.AsyncClient, process: psutil.Process, name: str, addresses: list[str]) -> PageFigures:
    taken: list[float] = []
    largest = ""
    began_cpu_s = 0.0
    for number in range(_WARM + _ROUNDS):
        if number == _WARM:
            began_cpu_s = _cpu_s(process)
        began = time.perf_counter()
        answer = await client.get(addresses[number % len(addresses)])
        if number >= _WARM:
            taken.append((time.perf_counter() - began) * 1_000)
        if not answer.is_success:
            raise SystemExit(f"{answer.url} answers {answer.status_code}")
        largest = max(largest, answer.text, key=len)
    cpu_ms = (_cpu_s(process) - began_cpu_s) * 1_000 / _ROUNDS
    assets = [len((await client.get(found)).content) for found in sorted(set(_ASSET.findall(largest)))]
    return PageFigures(
        name=name,
        html_bytes=len(largest.encode()),
        asset_bytes=sum(assets),
        p50_ms=statistics.median(taken),
        p95_ms=statistics.quantiles(taken, n=20)[-1],
        cpu_ms=cpu_ms,
    )


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def form_process(folder: Path, url: str) -> Component:
    """The product's approvals process, as it is. Its Temporal server is down: no page asks it."""
    port = some_free()
    (folder / "vote.jwk").write_text(json.dumps(OKPKey.generate_key("Ed25519").as_dict(private=True)))
    (folder / "session.secret").write_text(secrets.token_hex(32))
    values = {
        "ENV_FILE": os.devnull,
        "STATE_DIR": str(folder / "state"),
        "DATABASE_URL": url,
        "TEMPORAL_ADDRESS": f"127.0.0.1:{some_free()}",
        "VOTE_KEY_FILE": str(folder / "vote.jwk"),
        "SESSION_SECRET_FILE": str(folder / "session.secret"),
        "WEB_PORT": str(port),
        "WEB_URL": f"http://127.0.0.1:{port}",
        "LOG_LEVEL": "error",
    }
    return Component(
        name="form",
        argv=(sys.executable, "-m", "approvals"),
        environment={ENV_PREFIX + name: value for name, value in values.items()},
        folder=Path(ROOT),
        probe=HttpProbe(url=f"http://127.0.0.1:{port}/readyz"),
        address=f"http://127.0.0.1:{port}",
        version="clone",
    )


def _print(found: list[PageFigures]) -> None:
    table = Table(title=f"Pages at {REQUESTS:,} requests", title_justify="left")
    for column in ("page", "HTML KB", "with CSS and JS KB", "p50 ms", "p95 ms", "CPU ms"):
        table.add_column(column, justify="left" if column == "page" else "right")
    for page in found:
        table.add_row(
            page.name,
            f"{page.html_bytes / 1024:.1f}",
            f"{(page.html_bytes + page.asset_bytes) / 1024:.1f}",
            f"{page.p50_ms:.1f}",
            f"{page.p95_ms:.1f}",
            f"{page.cpu_ms:.1f}",
            style=None if page.is_within else "red",
        )
    Console().print(table)
    print(f"wanted: at most {BYTES_MAX // 1024} KB and {P95_MS_MAX} ms at p95")


def quiet(_line: str) -> None:
    """The supervisor's news are of no interest here: what fails to start raises."""


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
