"""Calendars from their file to a real request, and to the command line of who is asked."""

import asyncio
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
import uvicorn

from approvals.app import create_app
from approvals.words import at
from cli.main import run
from settings import Settings, get_settings
from settings.calendars import DAYS
from tests.conftest import DatabaseAddresses, some_free
from tests.examples.server import Server
from tests.installation import PASSWORD, installed
from tests.workflows.variants import agents_with

START_LIMIT_S = 20
LADDER = """
rungs:
  - {id: one-support-lead, needs: [{group: support-leads, count: 1}]}
  - {id: one-finance, needs: [{group: finance, count: 1}]}
  - {id: two-finance, needs: [{group: finance, count: 2}]}
groups:
  support-leads: {escalates_to: finance, escalate_after_s: 7200}
"""


def calendars(day: datetime) -> str:
    """The desk works on that day of the week alone."""
    return f"""
calendars:
  desk: {{time_zone: UTC, hours: {{{DAYS[day.weekday()]}: "09:00-17:00"}}}}
tenants:
  acme: {{groups: {{support-leads: desk}}}}
"""


@contextmanager
def form(settings: Settings) -> Generator[None]:
    """The approvals process, at its port."""
    settings.session_secret_file.write_text(secrets.token_hex(32))
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=settings.web_port, log_level="error"))
    thread = Thread(target=server.run)
    thread.start()
    try:
        while thread.is_alive() and not server.started:
            thread.join(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join(START_LIMIT_S)


@pytest.mark.req("A6")
async def test_nobody_is_reminded_or_passed_over_before_their_working_hours(
    tmp_path: Path, database: DatabaseAddresses, temporal_address: str, backoffice: Server,
    credential_key: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    works = (datetime.now(UTC) + timedelta(days=3)).replace(hour=9, minute=0, second=0, microsecond=0)
    (tmp_path / "calendars.yaml").write_text(calendars(works))
    (tmp_path / "ladder.yaml").write_text(LADDER)
    times = {"payments.issue_refund": {"sla_s": 3_600, "expires_s": 7 * 86_400}}
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0], web_port=some_free(),
        agents_dir=agents_with(tmp_path, approvals=times), calendars_file=tmp_path / "calendars.yaml",
        ladder_file=tmp_path / "ladder.yaml",
    ) as installation:  # fmt: skip
        handle = await installation.start({"ticket_id": "TIC-2006"})
        request = await installation.open_request(handle)
        assert request.sla_at == works + timedelta(hours=1), "an hour of their work, three days from now"
        settings = installation.settings
        for name, value in (
            ("STATE_DIR", tmp_path), ("WEB_PORT", settings.web_port), ("DATABASE_URL", database.url),
            ("PASSWORD", PASSWORD),
        ):  # fmt: skip
            monkeypatch.setenv(f"COUNTERSIGN_{name}", str(value))
        get_settings.cache_clear()
        with form(settings):
            show = ["approvals", "show", request.request_id, "--as", "acme/lena"]
            assert await asyncio.to_thread(run, show) == 0
        shown = capsys.readouterr().out
        assert f"{at(works + timedelta(hours=1))}, in " in shown
        assert f"{at(works + timedelta(hours=2))}, in " in shown
        assert "finance may decide as well, in place of support-leads" in shown
        await handle.terminate()
