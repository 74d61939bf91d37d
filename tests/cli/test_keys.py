"""`countersign keys`, the states of agents and linked accounts, as the person on call types them."""

import asyncio
import itertools
import json
import stat
from pathlib import Path

import pytest
from joserfc.jwk import OKPKey

from approvals.signing import VoteSigner
from cli.main import run
from settings import Settings, get_settings
from settings.load import load_settings
from settings.tenants import load_tenants
from store.accounts import NewAccount, Role, add_account
from store.agents import ensure_agent_states
from store.database import Database
from store.revocations import list_revocations
from store.vote_keys import vote_keys
from tests.conftest import DatabaseAddresses
from workers.embedded.keys import make_keys

PASSWORD = "correct horse battery staple"
AGENT = "support_refund"
ROOT = ("--as", "acme/root", "--reason", "the yearly rotation")


@pytest.fixture
def settings(database: DatabaseAddresses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation with keys, agents and two operators."""
    for name, value in (("STATE_DIR", str(tmp_path)), ("DATABASE_URL", database.url), ("PASSWORD", PASSWORD)):
        monkeypatch.setenv(f"COUNTERSIGN_{name}", value)
    get_settings.cache_clear()
    found = load_settings()
    make_keys(found, [], lambda _line: None)
    asyncio.run(prepare(found))
    return found


async def prepare(settings: Settings) -> None:
    async with Database(settings.database_address(), role=settings.database_role) as db:
        await ensure_agent_states(db, load_tenants(settings.tenants_file))
        people: tuple[tuple[str, tuple[Role, ...]], ...] = (("root", ("administer",)), ("oncall", ("view", "kill")))
        async with db.tenant("acme") as cursor:
            for name, roles in people:
                account = NewAccount(
                    tenant="acme", username=name, person=name, display_name=name, groups=(), roles=roles
                )
                await add_account(cursor, account, PASSWORD)
        await VoteSigner.of(settings).publish(db)


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, list[dict[str, str]]]:
    capsys.readouterr()
    assert run(["keys", "list", "--json"]) == 0
    lines: list[dict[str, str]] = json.loads(capsys.readouterr().out)
    return {purpose: [one for one in lines if one["purpose"] == purpose] for purpose in ("credential", "vote")}


@pytest.mark.req("I3")
def test_a_credential_key_is_rotated_published_before_it_signs_and_retired(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    [first] = listed(capsys)["credential"]
    assert first["state"] == "signs"
    assert run(["keys", "rotate", "credential", *ROOT]) == 0
    states = {one["kid"]: one["state"] for one in listed(capsys)["credential"]}
    assert sorted(states.values()) == ["next", "signs"]
    public = {key["kid"] for key in json.loads(settings.credential_public_keys_file.read_text())["keys"]}
    assert public == set(states)
    assert stat.S_IMODE(settings.credential_key_file.stat().st_mode) == 0o600
    # The old one still signs: without --force neither can be withdrawn.
    for kid in states:
        assert run(["keys", "retire", "credential", kid, *ROOT]) == 1
    assert run(["keys", "retire", "credential", first["kid"], "--force", *ROOT]) == 1
    assert "rotate" in capsys.readouterr().err
    assert run(["keys", "rotate", "credential", "--lead", "0", *ROOT]) == 0
    assert run(["keys", "retire", "credential", first["kid"], "--force", *ROOT]) == 0
    after = {one["kid"]: one["state"] for one in listed(capsys)["credential"]}
    assert after[first["kid"]] == "retired"
    assert list(after.values()).count("signs") == 1
    public = {key["kid"] for key in json.loads(settings.credential_public_keys_file.read_text())["keys"]}
    assert first["kid"] not in public
    assert run(["keys", "retire", "credential", "no-such-key", *ROOT]) == 1
    assert "d" not in json.loads(settings.credential_public_keys_file.read_text())["keys"][0]


@pytest.mark.req("A1")
def test_a_vote_key_is_rotated_and_old_runs_keep_theirs(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    [first] = listed(capsys)["vote"]
    assert run(["keys", "rotate", "vote", *ROOT]) == 0
    states = {one["kid"]: one["state"] for one in listed(capsys)["vote"]}
    assert sorted(states.values()) == ["ending", "signs"]

    async def known() -> dict[str, str]:
        async with Database(settings.database_address(), role=settings.database_role) as db, db.everywhere() as cursor:
            return await vote_keys(cursor)

    assert set(asyncio.run(known())) == set(states)
    signer = VoteSigner.of(settings)
    assert signer.kid != first["kid"]
    assert set(signer.public_keys) == set(states)
    assert run(["keys", "retire", "vote", first["kid"], *ROOT]) == 0
    assert set(asyncio.run(known())) == set(states) - {first["kid"]}


def test_keys_that_come_from_elsewhere_are_written_where_one_says(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEY_OF_THE_TEST", settings.credential_key_file.read_text())
    monkeypatch.setenv("COUNTERSIGN_CREDENTIAL_KEY", "env:KEY_OF_THE_TEST")
    assert run(["keys", "rotate", "credential", *ROOT]) == 2
    assert "--into" in capsys.readouterr().err
    target = tmp_path / "fresh.jwks"
    assert run(["keys", "rotate", "credential", "--into", str(target), *ROOT]) == 0
    assert len(json.loads(target.read_text())["keys"]) == 2
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.req("I9")
def test_who_changes_a_key_has_the_role_and_is_written_down(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    [first] = listed(capsys)["vote"]
    why = ("--reason", "INC-7: leaked")
    assert run(["keys", "rotate", "vote", "--as", "acme/oncall", *why]) == 1
    assert "it needs administer" in capsys.readouterr().err
    assert run(["keys", "rotate", "vote", "--as", "acme/root", "--reason", " "]) == 2
    assert run(["keys", "retire", "vote", first["kid"], "--as", "acme/oncall", "--force", *why]) == 1
    assert [one["state"] for one in listed(capsys)["vote"]] == ["signs"]
    assert run(["keys", "rotate", "vote", "--as", "acme/root", *why]) == 0
    assert run(["keys", "retire", "vote", first["kid"], "--as", "acme/root", *why]) == 0

    async def told() -> list[tuple[str, str, dict[str, str]]]:
        async with (
            Database(settings.database_address(), role=settings.database_role) as db,
            db.tenant("acme") as cursor,
        ):
            await cursor.execute("select kind, subject, detail from alarms order by at")
            return [(row["kind"], row["subject"], row["detail"]) for row in await cursor.fetchall()]

    detail = {"by": "root", "role": "administer", "reason": "INC-7: leaked"}
    (rotated, rotated_subject, _), last = asyncio.run(told())
    assert (rotated, rotated_subject.split()[0]) == ("key_rotated", "vote")
    assert last == ("key_retired", f"vote {first['kid']}", detail)


def test_a_key_from_elsewhere_whose_id_looks_like_an_option_is_retired_too(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    made = (OKPKey.generate_key("Ed25519") for _ in itertools.count())
    odd = next(key for key in made if key.thumbprint().startswith("-") and "h" not in key.thumbprint())
    file = settings.vote_key_file
    file.write_text(json.dumps({"keys": [*json.loads(file.read_text())["keys"], odd.as_dict(private=True)]}))
    retire = ["keys", "retire", "vote", *ROOT]
    assert run([*retire, odd.thumbprint()]) == 2
    assert "after --." in capsys.readouterr().err
    assert run([*retire, "--", odd.thumbprint()]) == 0
    assert odd.thumbprint() not in file.read_text()


@pytest.mark.req("I3", "I9")
def test_revoking_needs_a_role_a_reason_and_one_target(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    revoke = ["keys", "revoke", "--as", "acme/oncall", "--reason", "INC-1: leaked"]
    assert run(revoke) == 2
    assert run([*revoke, "--agent", AGENT, "--run", "run-1"]) == 2
    assert run(["keys", "revoke", "--as", "acme/oncall", "--reason", " ", "--agent", AGENT]) == 2
    assert run([*revoke, "--agent", AGENT]) == 0
    assert run(["keys", "revoke", "--as", "acme/root", "--reason", "drill", "--everything"]) == 0
    monkeypatch.setenv("COUNTERSIGN_PASSWORD", "wrong horse battery staple")
    assert run([*revoke, "--agent", AGENT]) == 1

    async def told() -> list[tuple[str, str, str, str]]:
        async with (
            Database(settings.database_address(), role=settings.database_role) as db,
            db.tenant("acme") as cursor,
        ):
            found = await list_revocations(cursor, "acme")
        return [(one.scope, one.target, one.revoked_by, one.reason) for one in found]

    assert asyncio.run(told()) == [("tenant", "*", "root", "drill"), ("agent", AGENT, "oncall", "INC-1: leaked")]


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert run(["agent", "show", AGENT, "--tenant", "acme", "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)["state"]
    return {name: found[name] for name in ("enabled", "stage", "tier_ceiling")}


@pytest.mark.req("I1", "I9")
def test_lowering_is_for_whoever_is_on_call_and_raising_for_administrators(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    oncall, root = (["--as", f"acme/{name}", "--reason", "INC-1"] for name in ("oncall", "root"))
    begun = shown(capsys)
    assert begun == {"enabled": True, "stage": "limited_autonomy", "tier_ceiling": 3}
    for lowering in (["stage", AGENT, "drafts"], ["ceiling", AGENT, "1"], ["disable", AGENT]):
        assert run(["agent", *lowering, *oncall]) == 0
    assert shown(capsys) == {"enabled": False, "stage": "drafts", "tier_ceiling": 1}
    for raising in (["stage", AGENT, "gated_writes"], ["ceiling", AGENT, "2"], ["enable", AGENT]):
        assert run(["agent", *raising, *oncall]) == 1
        assert "administer" in capsys.readouterr().err
        assert run(["agent", *raising, *root]) == 0
    assert shown(capsys) == {"enabled": True, "stage": "gated_writes", "tier_ceiling": 2}
    assert run(["agent", "show", AGENT, "--tenant", "acme"]) == 0
    told = capsys.readouterr().out
    for word in ("agent:acme/support_refund", "payments-oncall", "refunds:write", "oncall", "INC-1", "3 → 1"):
        assert word in told
    assert run(["agent", "disable", "nobody", *oncall]) == 1
    assert run(["agent", "stage", AGENT, "omnipotent", *root]) == 2
    assert run(["agent", "list"]) == 0
    assert "acme: gated_writes up to tier 2" in capsys.readouterr().out


@pytest.mark.req("I9")
def test_two_accounts_are_linked_to_one_person_and_roles_are_given(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    link = ["approvals", "account", "link", "oncall", "--same-as", "root", "--tenant", "acme"]
    assert run(link) == 0
    assert run([*link[:3], "nobody", *link[4:]]) == 1
    assert run(["approvals", "account", "role", "oncall", "view", "--tenant", "acme"]) == 0
    assert run(["approvals", "account", "role", "oncall", "king", "--tenant", "acme"]) == 2
    capsys.readouterr()
    assert run(["approvals", "account", "list", "--tenant", "acme", "--json"]) == 0
    rows = {row["username"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["oncall"]["person"] == rows["root"]["person"] == "root"
    assert rows["oncall"]["roles"] == ["view"]
    assert run(["agent", "disable", AGENT, "--as", "acme/oncall", "--reason", "INC-2"]) == 1
