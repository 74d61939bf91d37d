"""`countersign effects resolve`, as somebody on call types it, against a real approvals service."""

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator
from threading import Thread

import pytest
import uvicorn

from approvals.app import create_app
from cli.main import run
from contracts.outcome import Outcome
from store.accounts import NewAccount, Role, add_account
from tests.installation import PASSWORD, TENANT, Installation
from tests.workflows.test_doubts import LOST, doubt_of, unsure

__all__ = ["unsure"]

pytestmark = pytest.mark.req("T4", "I9")
START_LIMIT_S = 20
ANSWER = ("refund_id", "order_id", "amount_minor", "currency", "reason_code", "ticket_id", "status", "created_at")


@pytest.fixture
def at_the_desk(
    unsure: Installation, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    """The service on a port of its own, and the environment of somebody at the same installation."""
    settings = unsure.settings.model_copy(update={"web_port": free_port()})
    (settings.state_dir / "keys" / "session.secret").write_text(secrets.token_hex(32))
    for name, value in {
        "STATE_DIR": str(settings.state_dir), "DATABASE_URL": settings.database_address(), "PASSWORD": PASSWORD,
        "TEMPORAL_ADDRESS": settings.temporal_address, "WEB_PORT": settings.web_port,
    }.items():  # fmt: skip
        monkeypatch.setenv(f"COUNTERSIGN_{name}", str(value))
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=settings.web_port, log_level="error"))
    thread = Thread(target=server.run)
    thread.start()
    yield unsure
    server.should_exit = True
    thread.join(START_LIMIT_S)


async def typed(*words: str) -> int:
    return await asyncio.to_thread(run, ["effects", *words])


async def test_a_doubt_is_closed_from_the_command_line(
    at_the_desk: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    people: dict[str, tuple[Role, ...]] = {"ulla": ("view", "undo"), "vera": ("view",)}
    async with at_the_desk.db.tenant(TENANT) as cursor:
        for name, roles in people.items():
            account = NewAccount(
                tenant=TENANT, username=name, person=name, display_name=name.title(), groups=(), roles=roles
            )
            await add_account(cursor, account, PASSWORD)
    at_the_desk.backoffice.admin("POST", "/faults", LOST)
    handle = await at_the_desk.start({"ticket_id": "TIC-2001"})
    key = (await doubt_of(at_the_desk, handle)).key
    assert await typed("list") == 0
    assert key in capsys.readouterr().out

    why = ("--reason", "looked it up in the books")
    assert await typed("resolve", key, "--happened", *why, "--as", f"{TENANT}/vera") != 0
    assert "undo" in capsys.readouterr().err
    assert await typed("resolve", key, "--did-not-happen", *why, "--as", f"{TENANT}/ulla") != 0
    assert "may still arrive" in capsys.readouterr().err
    assert await typed("resolve", key, "--happened", "--abandon", *why) == 2
    assert await typed("resolve", key, "--happened", "--output", "[]", *why) == 2
    refund = {name: at_the_desk.refunds()[0][name] for name in ANSWER}
    assert await typed("resolve", key, "--happened", "--output", json.dumps(refund), *why) == 0
    assert "(succeeded)" in capsys.readouterr().out
    assert (await handle.result()).outcome is Outcome.COMPLETED
    assert len(at_the_desk.refunds()) == 1
    assert await typed("list") == 0
    assert "nothing is in doubt" in capsys.readouterr().out
    assert await typed("show", key) == 0
    assert "said by ulla" in capsys.readouterr().out
