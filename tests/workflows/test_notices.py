"""Notices of whole runs: told when asked, when overdue, when too late; a receiver that fails holds nobody up."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.outcome import Outcome
from contracts.vote import VoteAccepted
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import installed
from tests.notify.receivers import Hooks, receiving
from tests.workflows.variants import agents_with

pytestmark = [pytest.mark.req("A8"), pytest.mark.req("A6")]

WAIT_S = 30.0


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with receiving() as seen:
        yield seen


def notify_file(folder: Path, hooks: Hooks) -> Path:
    """Two channels: one for the support leads, one for finance."""
    (folder / "url").write_text(hooks.url)
    file = folder / "notify.yaml"
    file.write_text(
        "tenants: {acme: [{name: leads, kind: slack, url: 'file:url', groups: [support-leads]},"
        " {name: finance, kind: slack, url: 'file:url', groups: [finance]}]}"
    )
    return file


def texts(hooks: Hooks) -> list[str]:
    return [json.loads(body)["text"] for _, body in hooks.requests]


async def until(hooks: Hooks, count: int) -> None:
    deadline = time.monotonic() + WAIT_S
    while len(hooks.requests) < count:
        assert time.monotonic() < deadline, texts(hooks)
        await asyncio.sleep(0.05)


async def test_the_group_that_can_decide_is_told_and_nobody_else(
    tmp_path: Path,
    database: DatabaseAddresses,
    temporal_address: str,
    backoffice: Server,
    credential_key: tuple[Path, Path],
    hooks: Hooks,
) -> None:
    async with installed(
        tmp_path,
        database.url,
        temporal_address,
        backoffice,
        credential_key[0],
        notify_file=notify_file(tmp_path, hooks),
    ) as installation:
        handle = await installation.start({"ticket_id": "TIC-2006"})
        request = await installation.open_request(handle)
        await until(hooks, 1)
        assert isinstance(await installation.vote(handle, request, "lena"), VoteAccepted)
        assert (await handle.result()).outcome is Outcome.COMPLETED
    (text,) = texts(hooks)
    assert f"/requests/{request.request_id}" in text
    for secret in ("319", "ORD-1007", "TIC-2006", "refund"):
        assert secret not in text


async def test_an_undecided_request_is_told_again_when_overdue_and_when_expired(
    tmp_path: Path,
    database: DatabaseAddresses,
    temporal_address: str,
    backoffice: Server,
    credential_key: tuple[Path, Path],
    hooks: Hooks,
) -> None:
    async with installed(
        tmp_path,
        database.url,
        temporal_address,
        backoffice,
        credential_key[0],
        notify_file=notify_file(tmp_path, hooks),
        agents_dir=agents_with(tmp_path, approvals={"payments.issue_refund": {"sla_s": 1, "expires_s": 3}}),
    ) as installation:
        handle = await installation.start({"ticket_id": "TIC-2006"})
        report = await handle.result()
        assert report.outcome is Outcome.ESCALATED
    kinds = [text.splitlines()[0].partition(" ")[0] for text in texts(hooks)]
    assert kinds == ["*Decide", "*Overdue,", "*Expired"]


async def test_a_receiver_that_fails_neither_holds_the_run_nor_is_told_twice(
    tmp_path: Path,
    database: DatabaseAddresses,
    temporal_address: str,
    backoffice: Server,
    credential_key: tuple[Path, Path],
    hooks: Hooks,
) -> None:
    hooks.status = 503
    async with installed(
        tmp_path,
        database.url,
        temporal_address,
        backoffice,
        credential_key[0],
        notify_file=notify_file(tmp_path, hooks),
    ) as installation:
        handle = await installation.start({"ticket_id": "TIC-2006"})
        request = await installation.open_request(handle)
        await until(hooks, 1)
        hooks.status = 200
        await until(hooks, 2)
        assert isinstance(await installation.vote(handle, request, "lena"), VoteAccepted)
        assert (await handle.result()).outcome is Outcome.COMPLETED
    assert len(hooks.requests) == 2
