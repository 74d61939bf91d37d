"""Credentials from a real authorization server: what is asked, what is believed, and that nothing is sent otherwise."""

import json
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import cast

import pytest
from joserfc import jws, jwt
from joserfc.jwk import OKPKey

from activities.credentials import CallIdentity, OwnIssuer
from activities.credentials.exchange import ExchangeIssuer
from activities.services import CallContext, Services
from contracts.base import JsonObject
from contracts.tool import RefusedBeforeSend
from settings.services import TokenExchange
from settings.signing_keys import SigningKeys, key_set_text, new_key, public_set
from tests.activities.credentials.server import Answers, RealServer, real_server, told_server
from tests.examples.server import Server

pytestmark = [pytest.mark.req("I3"), pytest.mark.node]

REFUND: JsonObject = {
    "order_id": "ORD-1001", "amount_minor": 1000, "currency": "EUR", "reason_code": "damaged_item"
}  # fmt: skip
IDENTITY = CallIdentity(
    tenant="acme", run_id="run-1", agent="support_refund", on_behalf_of=None, tool="payments.issue_refund",
    service="backoffice", scopes=("refunds:write",), effect_key="run-1/2/0", epoch=7,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exchange")


@pytest.fixture(scope="module")
def own(folder: Path) -> OwnIssuer:
    (folder / "credential.jwk").write_text(key_set_text((new_key(),)))
    return OwnIssuer(SigningKeys("file:credential.jwk", folder, purpose="credential"))


@pytest.fixture(scope="module")
def client_key(folder: Path) -> OKPKey:
    key = OKPKey.generate_key("Ed25519")
    (folder / "client.jwk").write_text(json.dumps(key.as_dict(private=True)))
    return key


@pytest.fixture(scope="module")
def told() -> Generator[Answers]:
    with told_server() as answers:
        yield answers


@pytest.fixture(scope="module")
def running(folder: Path, own: OwnIssuer, client_key: OKPKey, told: Answers) -> Generator[RealServer]:
    told.documents["/jwks.json"] = public_set(own.keys.published(time.time()), time.time())
    with real_server(f"{told.url}/jwks.json", client_key, folder / "server.log") as server:
        yield server


@pytest.fixture
def server(running: RealServer) -> RealServer:
    running.answer()
    return running


@pytest.fixture(scope="module")
def backoffice(running: RealServer, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """A service that trusts the authorization server, not us."""
    with Server(
        tmp_path_factory.mktemp("backoffice"), f"{running.issuer}/jwks", BACKOFFICE_ISSUER=running.issuer,
        BACKOFFICE_TYP="at+jwt",
    ) as found:  # fmt: skip
        yield found


def config_of(issuer: str, endpoint: str, jwks: str, **changes: object) -> TokenExchange:
    return TokenExchange.model_validate(
        {"kind": "token_exchange", "token_endpoint": endpoint, "issuer": issuer, "jwks": jwks,
         "client_id": "countersign", "client_key": "file:client.jwk", "audience": "backoffice", **changes}
    )  # fmt: skip


@pytest.fixture
async def issuer(server: RealServer, own: OwnIssuer, folder: Path) -> AsyncGenerator[ExchangeIssuer]:
    config = config_of(server.issuer, f"{server.issuer}/token", f"{server.issuer}/jwks", timeout_s=10)
    made = ExchangeIssuer(config, own, folder)
    yield made
    await made.close()


@pytest.fixture
async def services(backoffice: Server) -> AsyncGenerator[Services]:
    found = Services({"backoffice": backoffice.url})
    yield found
    await found.close()


def refund_of(issuer: ExchangeIssuer, services: Services, identity: CallIdentity) -> CallContext:
    return CallContext(services, issuer, identity, REFUND, timeout_s=20, may_write=True, beat=lambda _note: None)


async def test_the_token_says_who_calls_what_for_whom_and_a_service_accepts_it(
    issuer: ExchangeIssuer, backoffice: Server, services: Services
) -> None:
    identity = IDENTITY.model_copy(update={"on_behalf_of": "ann"})
    reply = await refund_of(issuer, services, identity).request("POST", "/refunds", json=REFUND)
    assert reply.status == 201
    [entry] = backoffice.books()["effects"]
    assert (entry["subject"], entry["actor"], entry["run"]) == (
        "user:acme/ann", "agent:acme/support_refund", "run-1"
    )  # fmt: skip


async def test_each_call_has_a_token_of_its_own_for_its_arguments_alone(
    issuer: ExchangeIssuer, backoffice: Server, server: RealServer
) -> None:
    one, two = [(await issuer.mint(IDENTITY, REFUND)).value.removeprefix("Bearer ") for _ in range(2)]
    claims = [jws.extract_compact(token.encode()).payload for token in (one, two)]
    first, second = (cast("dict[str, object]", json.loads(payload or b"")) for payload in claims)
    assert first["jti"] != second["jti"]
    assert (first["iss"], first["aud"], first["scope"]) == (server.issuer, "backoffice", "refunds:write")
    assert (first["tenant"], first["txn"], first["epoch"]) == ("acme", "run-1", 7)
    [detail] = cast("list[dict[str, object]]", first["authorization_details"])
    assert (detail["tool"], detail["effect_key"], detail["max_uses"]) == ("payments.issue_refund", "run-1/2/0", 1)
    headers = {"Authorization": f"Bearer {one}", "Idempotency-Key": "run-1/2/0"}
    changed = backoffice.http.post("/refunds", json={**REFUND, "amount_minor": 1001}, headers=headers)
    assert changed.json()["code"] == "arguments_mismatch"


NOW = int(time.time())
MISTAKEN: dict[str, tuple[dict[str, object], str]] = {
    "wider scope than asked": ({"claims": {"scope": "refunds:write admin"}}, "token_too_wide"),
    "narrower scope than needed": ({"claims": {"scope": "refunds:read"}}, "token_too_wide"),
    "no scope": ({"claims": {"scope": ""}}, "token_too_narrow"),
    "wrong audience": ({"claims": {"aud": "warehouse"}}, "token_wrong_audience"),
    "one audience too many": ({"claims": {"aud": ["backoffice", "warehouse"]}}, "token_wrong_audience"),
    "another issuer": ({"claims": {"iss": "https://elsewhere.example"}}, "token_wrong_issuer"),
    "another subject": ({"claims": {"sub": "agent:acme/other"}}, "token_wrong_subject"),
    "over already": ({"claims": {"exp": NOW - 10}}, "token_expired"),
    "longer than a credential may live": ({"claims": {"exp": NOW + 3600}}, "token_too_long"),
    "not valid yet": ({"claims": {"nbf": NOW + 90_000}}, "token_not_yet_valid"),
    "for nothing in particular": ({"claims": {"authorization_details": []}}, "token_other_call"),
    "for other arguments": (
        {"claims": {"authorization_details": [{"type": "tool_call", "arguments_sha256": "0" * 64}]}},
        "token_other_call",
    ),
    "without an end": ({"claims": {"exp": None}}, "token_malformed"),
    "signed with a key that is not published": ({"key": "other"}, "token_unverified"),
    "opaque": ({"format": "opaque"}, "token_unverified"),
}


@pytest.mark.parametrize("case", MISTAKEN)
async def test_a_token_that_is_not_what_was_asked_is_never_sent(
    issuer: ExchangeIssuer, server: RealServer, backoffice: Server, services: Services, case: str
) -> None:
    lever, code = MISTAKEN[case]
    server.answer(**lever)
    before = backoffice.books()["effects"]
    with pytest.raises(RefusedBeforeSend) as refused:
        await refund_of(issuer, services, IDENTITY).request("POST", "/refunds", json=REFUND)
    assert refused.value.code == code, str(refused.value)
    assert backoffice.books()["effects"] == before


async def test_a_token_that_would_outlive_the_lease_is_refused(issuer: ExchangeIssuer) -> None:
    # The server gives 60 s; this call's lease ends earlier than the assertion that it was told to fit within.
    short = IDENTITY.model_copy(update={"not_after_s": int(time.time()) + 20})
    token = (await issuer.mint(short, REFUND)).value.removeprefix("Bearer ")
    claims = json.loads(jws.extract_compact(token.encode()).payload or b"")
    assert claims["exp"] <= short.not_after_s
    over = IDENTITY.model_copy(update={"not_after_s": int(time.time()) - 1})
    with pytest.raises(RefusedBeforeSend, match="over"):
        await issuer.mint(over, REFUND)


async def test_the_server_refuses_a_stranger_and_a_forged_assertion(
    server: RealServer, own: OwnIssuer, folder: Path
) -> None:
    (folder / "stranger.jwk").write_text(key_set_text((new_key(),)))
    stranger = OwnIssuer(SigningKeys("file:stranger.jwk", folder, purpose="credential"))
    key = OKPKey.generate_key("Ed25519")
    (folder / "other-client.jwk").write_text(json.dumps(key.as_dict(private=True)))
    proper = config_of(server.issuer, f"{server.issuer}/token", f"{server.issuer}/jwks", timeout_s=10)
    foreign = proper.model_copy(update={"client_key": "file:other-client.jwk"})
    elsewhere = proper.model_copy(update={"audience": "warehouse"})
    for config, signer, error in (
        (proper, stranger, "invalid_grant"),
        (foreign, own, "invalid_client"),
        (elsewhere, own, "invalid_target"),
    ):
        made = ExchangeIssuer(config, signer, folder)
        with pytest.raises(RefusedBeforeSend, match=error) as refused:
            await made.mint(IDENTITY, REFUND)
        assert refused.value.code == "token_refused"
        await made.close()


def _answer(**changes: object) -> bytes:
    proper = {"access_token": "x.y.z", "token_type": "Bearer", "scope": "refunds:write",
              "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}  # fmt: skip
    return json.dumps({name: value for name, value in {**proper, **changes}.items() if value is not None}).encode()


BROKEN: dict[str, tuple[int, bytes, str]] = {
    "an error of its own": (500, b"<html>", "token_refused"),
    "a redirect": (302, b"", "token_refused"),
    "an error that quotes": (400, b'{"error": "invalid_grant", "error_description": "SECRET"}', "token_refused"),
    "an odd error": (400, b'{"error": "SECRET?"}', "token_refused"),
    "no JSON": (200, b"welcome", "token_malformed"),
    "no token": (200, _answer(access_token=None), "token_malformed"),
    "a token of another kind": (200, _answer(token_type="DPoP"), "token_malformed"),
    "a refresh token": (
        200,
        _answer(issued_token_type="urn:ietf:params:oauth:token-type:refresh_token"),
        "token_malformed",
    ),
    "a wider scope": (200, _answer(scope="refunds:write admin"), "token_too_wide"),
    "no JWT": (200, _answer(access_token="opaque"), "token_unverified"),
    "an unsigned token": (200, _answer(access_token="eyJhbGciOiJub25lIn0.e30."), "token_unverified"),
    "far too much": (200, b" " * 70_000 + _answer(), "token_malformed"),
}


@pytest.fixture
async def gullible(
    told: Answers, own: OwnIssuer, folder: Path, request: pytest.FixtureRequest
) -> AsyncGenerator[ExchangeIssuer]:
    timeout_s: float = getattr(request, "param", 10.0)
    config = config_of(told.url, f"{told.url}/token", f"{told.url}/jwks.json", timeout_s=timeout_s)
    made = ExchangeIssuer(config, own, folder)
    yield made
    await made.close()


@pytest.mark.parametrize("case", BROKEN)
async def test_a_wrong_answer_is_no_credential_and_is_not_repeated(
    gullible: ExchangeIssuer, told: Answers, client_key: OKPKey, case: str
) -> None:
    told.status, told.body, code = BROKEN[case]
    with pytest.raises(RefusedBeforeSend) as refused:
        await gullible.mint(IDENTITY, REFUND)
    assert refused.value.code == code
    assert "SECRET" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("gullible", [0.5], indirect=True)
async def test_a_slow_server_is_not_waited_for(gullible: ExchangeIssuer, told: Answers, client_key: OKPKey) -> None:
    told.delay = threading.Event()
    try:
        with pytest.raises(RefusedBeforeSend) as refused:
            await gullible.mint(IDENTITY, REFUND)
        assert refused.value.code == "token_timeout"
    finally:
        told.delay.set()
        told.delay = None


async def test_a_server_that_is_down_ends_the_attempt_before_it_is_sent(
    own: OwnIssuer, folder: Path, client_key: OKPKey, free_port: Callable[[], int]
) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    made = ExchangeIssuer(config_of(gone, f"{gone}/token", f"{gone}/jwks"), own, folder)
    with pytest.raises(RefusedBeforeSend) as refused:
        await made.mint(IDENTITY, REFUND)
    assert refused.value.code == "token_unreachable"
    await made.close()


async def test_what_is_asked_for_is_exactly_the_call(
    gullible: ExchangeIssuer, told: Answers, own: OwnIssuer, client_key: OKPKey
) -> None:
    told.status, told.body = 500, b""
    told.asked.clear()
    with pytest.raises(RefusedBeforeSend):
        await gullible.mint(IDENTITY, REFUND)
    [form] = told.asked
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
    assert (form["audience"], form["scope"], form["client_id"]) == ("backoffice", "refunds:write", "countersign")
    key = own.keys.current(time.time()).key
    subject = jwt.decode(form["subject_token"], key, algorithms=["Ed25519"]).claims
    assert subject["aud"] == told.url
    assert subject["authorization_details"] == json.loads(form["authorization_details"])
    client = jwt.decode(form["client_assertion"], client_key, algorithms=["Ed25519"]).claims
    assert (client["iss"], client["sub"], client["aud"]) == ("countersign", "countersign", told.url)
