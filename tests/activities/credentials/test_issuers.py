"""Our own credentials, secrets of services, and which of them a call gets."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt

from activities.credentials import CallIdentity, Credential, Issuers, OwnIssuer
from activities.credentials.service_secret import SecretIssuer
from contracts.base import JsonObject
from contracts.tool import RefusedBeforeSend
from settings import Settings
from settings.services import ServiceSecret
from settings.signing_keys import SigningKeys, key_set_text, new_key

pytestmark = pytest.mark.req("I3")

ARGUMENTS: JsonObject = {"order_id": "ORD-1001", "amount_minor": 1000}
IDENTITY = CallIdentity(
    tenant="acme", run_id="run-1", agent="support_refund", on_behalf_of=None, tool="payments.issue_refund",
    service="backoffice", scopes=("refunds:write", "effects:read"), effect_key="run-1/2/0", epoch=7,
)  # fmt: skip


@pytest.fixture
def own(tmp_path: Path) -> OwnIssuer:
    (tmp_path / "key").write_text(key_set_text((new_key(),)))
    return OwnIssuer(SigningKeys("file:key", tmp_path, purpose="credential"))


async def claims(own: OwnIssuer, identity: CallIdentity) -> dict[str, object]:
    credential = await own.mint(identity, ARGUMENTS)
    key = own.keys.current(time.time()).key
    return jwt.decode(credential.value.removeprefix("Bearer "), key, algorithms=["Ed25519"]).claims


async def test_a_credential_says_who_what_for_whom_and_until_when(own: OwnIssuer) -> None:
    found = await claims(own, IDENTITY)
    assert (found["iss"], found["aud"], found["sub"]) == ("countersign", "backoffice", "agent:acme/support_refund")
    assert (found["tenant"], found["txn"], found["epoch"]) == ("acme", "run-1", 7)
    assert found["scope"] == "refunds:write effects:read"
    assert "act" not in found
    [detail] = json.loads(json.dumps(found["authorization_details"]))
    assert (detail["tool"], detail["effect_key"], detail["max_uses"]) == ("payments.issue_refund", "run-1/2/0", 1)
    assert len(detail["arguments_sha256"]) == 64
    assert 0 < int(str(found["exp"])) - int(str(found["iat"])) <= 300
    assert (await claims(own, IDENTITY))["jti"] != found["jti"]


@pytest.mark.req("I2")
async def test_acting_for_a_user_both_stand_in_it(own: OwnIssuer) -> None:
    found = await claims(own, IDENTITY.model_copy(update={"on_behalf_of": "ann"}))
    assert (found["sub"], found["act"]) == ("user:acme/ann", {"sub": "agent:acme/support_refund"})


async def test_it_ends_with_the_lease_of_its_write_and_not_at_all_after_it(own: OwnIssuer) -> None:
    soon = int(time.time()) + 5
    assert (await claims(own, IDENTITY.model_copy(update={"not_after_s": soon})))["exp"] == soon
    with pytest.raises(RefusedBeforeSend, match="over"):
        await own.mint(IDENTITY.model_copy(update={"not_after_s": soon - 60}), ARGUMENTS)


async def test_without_a_key_that_may_sign_nothing_is_sent(own: OwnIssuer) -> None:
    own.keys.withdraw([key.kid for key in own.keys.published(time.time())])
    with pytest.raises(RefusedBeforeSend, match="keys rotate credential"):
        await own.mint(IDENTITY, ARGUMENTS)


async def test_a_secret_is_read_again_within_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("first-secret")
    config = ServiceSecret.model_validate(
        {"kind": "secret", "secret": "file:secret", "header": "X-Api-Key", "prefix": ""}
    )
    issuer = SecretIssuer(config, tmp_path)
    credential = await issuer.mint(IDENTITY, ARGUMENTS)
    assert (credential.header, credential.value) == ("X-Api-Key", "first-secret")
    assert "first-secret" not in repr(credential)
    (tmp_path / "secret").write_text("second-secret")
    assert (await issuer.mint(IDENTITY, ARGUMENTS)).value == "first-secret"
    later = time.monotonic() + 61
    monkeypatch.setattr("time.monotonic", lambda: later)
    assert (await issuer.mint(IDENTITY, ARGUMENTS)).value == "second-secret"
    (tmp_path / "secret").unlink()
    monkeypatch.setattr("time.monotonic", lambda: later + 61)
    with pytest.raises(RefusedBeforeSend, match="cannot be read"):
        await issuer.mint(IDENTITY, ARGUMENTS)


async def test_each_service_gets_its_own_kind_and_an_unknown_one_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text(key_set_text((new_key(),)))
    monkeypatch.setenv("CRM_KEY", "crm-secret")
    crm = {"url": "https://crm.example", "credentials": {"kind": "secret", "secret": "env:CRM_KEY"}}
    settings = Settings.model_validate(
        {
            "state_dir": tmp_path,
            "credential_key": "file:key",
            "services": {"backoffice": "http://127.0.0.1:1", "crm": crm},
        }
    )
    issuers = Issuers.of(settings)
    assert (await issuers.mint(IDENTITY, ARGUMENTS)).value.startswith("Bearer ey")
    assert (await issuers.mint(IDENTITY.model_copy(update={"service": "crm"}), ARGUMENTS)).value == "Bearer crm-secret"
    with pytest.raises(RefusedBeforeSend) as refused:
        await issuers.mint(IDENTITY.model_copy(update={"service": "elsewhere"}), ARGUMENTS)
    assert refused.value.code == "unknown_service"
    await issuers.close()


@given(
    secret=st.text(st.characters(min_codepoint=33, blacklist_categories=("Cs",)), min_size=20, max_size=60),
    plain=st.booleans(),
)
def test_whatever_a_service_repeats_of_a_credential_is_taken_out(secret: str, *, plain: bool) -> None:
    answer = json.dumps({"message": f"You sent {secret}!"}, ensure_ascii=plain).encode()
    assert json.loads(Credential(f"Bearer {secret}").absent_from(answer)) == {"message": "You sent [credential]!"}


def test_a_part_of_a_token_is_taken_out_too() -> None:
    head, body, tail = "h" * 30, "b" * 80, "s" * 80
    credential = Credential(f"Bearer {head}.{body}.{tail}")
    found = credential.absent_from(f'{{"message": "no such token: {head}.{body}…"}}'.encode())
    assert body.encode() not in found
    assert json.loads(found)["message"].startswith("no such token")
