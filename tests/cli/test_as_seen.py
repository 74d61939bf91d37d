"""`countersign approvals show REQUEST --as-seen`: what people decided on, as an auditor gets it."""

import asyncio
import json
from pathlib import Path

import httpx
import psycopg
import pytest

from cli.main import run
from contracts.canonical import digest_bytes
from contracts.vote import SignedVote, Vote
from policy.votes import read_vote
from settings import Settings
from store.database import Database
from store.vote_keys import vote_keys
from store.votes import votes_on
from tests.approvals.conftest import form_of, hidden_in
from tests.approvals.scene import LENA, TENANT
from tests.approvals.test_batch import list_in
from tests.cli.test_approvals import asked, settings
from tests.conftest import DatabaseAddresses

__all__ = ["settings"]
pytestmark = pytest.mark.req("A3")


def decided_in_a_browser(settings: Settings, alone: str, listed: str) -> None:
    """One request on its own page, the other on the list."""
    origin = settings.web_url
    with httpx.Client(base_url=origin, headers={"origin": origin}, trust_env=False) as http:
        assert http.post("/sign-in", data=form_of(LENA)).is_redirect
        page = http.get(f"/requests/{alone}").text
        digest = page.split('name="digest" value="', 1)[1].split('"', 1)[0]
        form = {**hidden_in(page), "digest": digest, "verdict": "deny", "reason": "The sofa was in time."}
        assert http.post(f"/requests/{alone}/decision", data=form).is_redirect
        form = list_in(http.get("/requests/batch").text) | {f"verdict-{listed}": "approve"}
        assert http.post("/requests/batch", data=form).is_success


def signed_over(settings: Settings, request_id: str) -> str:
    """What the one vote on a request says was seen, from its signed words alone."""

    async def read() -> str:
        async with (
            Database(settings.database_address(), role=settings.database_role) as db,
            db.tenant(TENANT) as cursor,
        ):
            [stored] = await votes_on(cursor, TENANT, request_id)
            vote = read_vote(SignedVote(jws=stored.jws), await vote_keys(cursor))
            assert isinstance(vote, Vote)
            return str(vote.seen)

    return asyncio.run(read())


def test_an_auditor_gets_the_bytes_that_each_vote_was_signed_over(
    settings: Settings,
    database: DatabaseAddresses,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    alone, listed, open_one = (
        asked(settings, name, tier=tier, resource_id=f"ord_{name}").request_id
        for name, tier in (("alone", 3), ("listed", 2), ("open", 3))
    )
    decided_in_a_browser(settings, alone, listed)
    seen = {request_id: signed_over(settings, request_id) for request_id in (alone, listed)}
    for request_id, word in ((alone, "ord_alone"), (listed, "ord_listed")):
        assert run(["approvals", "show", request_id, "--as-seen", "--as", "acme/lena"]) == 0
        line = capsys.readouterr().out
        file = tmp_path / line.split()[0]
        assert digest_bytes(file.read_bytes()) == seen[request_id]
        assert word in file.read_text()
        assert f"{seen[request_id]}  seen by lena" in line
        assert run(["approvals", "show", request_id, "--as-seen", "--json"]) == 0
        [page] = json.loads(capsys.readouterr().out)["pages"]
        assert page["body"].encode() == file.read_bytes()
    assert run(["approvals", "show", open_one, "--as-seen"]) == 0
    assert "nobody has decided in a browser" in capsys.readouterr().out
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("alter table seen_pages disable trigger append_only")
        owner.execute("update seen_pages set body = replace(body, 'ord_alone', 'ord_other')")
    for more in ([], ["--json"]):
        assert run(["approvals", "show", alone, "--as-seen", *more]) == 1
    assert "DAMAGED: not the bytes that the votes were signed over" in capsys.readouterr().out
    assert run(["approvals", "show", listed, "--as-seen"]) == 0
