"""`countersign reviews`, `reviewers`, `decoys` and `runs rate`, as people type them, after a real run."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import yaml

from activities.after_the_fact import look_back
from cli.main import run
from contracts.outcome import Outcome
from settings import get_settings
from store.accounts import NewAccount, add_account
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server
from tests.installation import PASSWORD, TENANT, Installation, installed
from tests.workflows.conftest import backoffice, credential_key, shared_backoffice

__all__ = ["backoffice", "credential_key", "shared_backoffice"]

ONE_LEAD = "TIC-2006"
ROOT, REX = ("--as", "acme/root"), ("--as", "acme/rex")


@pytest.fixture
async def installation(
    tmp_path: Path,
    database: DatabaseAddresses,
    temporal_address: str,
    backoffice: Server,
    credential_key: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[Installation]:
    """An installation with an operator and a reviewer, and their environment."""
    file = tmp_path / "reviews.yaml"
    settings = {"tiers": [1, 2, 3], "rate": 0.0, "first": 20, "tests": {"support-leads": 1}}
    file.write_text(yaml.safe_dump({"tenants": {TENANT: settings}}))
    for name, value in (
        ("DATABASE_URL", database.url), ("TEMPORAL_ADDRESS", temporal_address), ("PASSWORD", PASSWORD),
        ("REVIEWS_FILE", str(file)),
    ):  # fmt: skip
        monkeypatch.setenv(f"COUNTERSIGN_{name}", value)
    get_settings.cache_clear()
    async with installed(
        tmp_path, database.url, temporal_address, backoffice, credential_key[0], reviews_file=file
    ) as made:
        async with made.db.tenant(TENANT) as cursor:
            for name, role in (("root", "administer"), ("rex", "approve")):
                account = NewAccount.model_validate(
                    {"tenant": TENANT, "username": name, "person": name, "display_name": name, "groups": (),
                     "roles": (role,)}
                )  # fmt: skip
                await add_account(cursor, account, PASSWORD)
        yield made


async def command(*arguments: str) -> int:
    """As the command runs: in a thread, because it has a loop of its own."""
    return await asyncio.to_thread(run, list(arguments))


@pytest.mark.req("A9", "A11", "O4")
async def test_after_a_run(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    handle = await installation.start({"ticket_id": ONE_LEAD})
    await installation.vote(handle, await installation.open_request(handle), "lena")
    await handle.result()
    await look_back(installation.engine, TENANT, lag_s=0)

    capsys.readouterr()
    assert await command("reviews", "list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    refund = next(one for one in listed if one["tool"] == "payments.issue_refund")
    key = f"{refund['run_id']}/{refund['step']}/{refund['call']}"
    assert await command("reviews", "show", key) == 0
    shown = capsys.readouterr().out
    assert "not by" in shown
    assert "lena" in shown
    assert await command("reviews", "label", key, "right", "--as", "acme/lena") == 1
    assert "somebody else" in capsys.readouterr().err
    assert await command("reviews", "label", key, "wrong", *REX, "--note", "Paid to the wrong order.") == 1
    assert "should have happened" in capsys.readouterr().err
    said = ("--note", "Paid to the wrong order.", "--expected", "A refund of ORD-1007's shipping.")
    assert await command("reviews", "label", key, "wrong", *REX, *said) == 0
    assert "countersign undo plan" in capsys.readouterr().out
    assert await command("reviews", "list", "--label", "wrong", "--json") == 0
    (wrong,) = json.loads(capsys.readouterr().out)
    assert (wrong["label"], wrong["expected"], wrong["person"]) == ("wrong", "A refund of ORD-1007's shipping.", "rex")
    assert {"arguments", "output", "goal", "run_id", "step", "call"} <= wrong.keys()  # what a case is made from

    assert await command("reviewers", *REX) == 1
    assert "administer" in capsys.readouterr().err
    assert await command("reviewers", *ROOT, "--json") == 0
    (lena,) = json.loads(capsys.readouterr().out)
    assert (lena["key"], lena["approvals"], lena["overturned"], lena["concerns"]) == ("lena", 1, 1, [])
    assert await command("reviewers", "--mine", *REX) == 0
    assert "decided nothing" in capsys.readouterr().out

    assert await command("decoys", "plant", *REX) == 1
    assert await command("decoys", "plant", *ROOT) == 0
    assert "waits for support-leads" in capsys.readouterr().out
    assert await command("decoys", "plant", *ROOT) == 1
    assert await command("decoys", "withdraw", *ROOT) == 0
    capsys.readouterr()
    assert await command("decoys", "list", *ROOT, "--json") == 0
    assert [one["result"] for one in json.loads(capsys.readouterr().out)] == ["withdrawn"]

    assert await command("runs", "rate", handle.id, *REX, "--useful", "yes") == 1
    assert "no packet" in capsys.readouterr().err


@pytest.mark.req("O4")
async def test_a_packet_is_rated_by_who_goes_on_from_it(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    handle = await installation.start({"ticket_id": "TIC-2003"})
    report = await handle.result()
    assert report.outcome is Outcome.ESCALATED
    capsys.readouterr()
    for minutes in ("5", "12"):  # a later word takes the place of the earlier
        assert await command("runs", "rate", handle.id, *REX, "--useful", "partly", "--minutes", minutes) == 0
    capsys.readouterr()
    assert await command("runs", "ratings", "--json") == 0
    (line,) = json.loads(capsys.readouterr().out)
    assert (line["handed_over"], line["rated"], line["partly"], line["minutes_saved"]) == (1, 1, 1, 12)
