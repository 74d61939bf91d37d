"""A token must be whole, ours, fresh, and for exactly this call; each way to fail has its own code and no effect."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OctKey, OKPKey, RSAKey

from tests.examples.caller import REFUND, Caller, new_key
from tests.examples.server import Server
from tests.examples.tokens import Issuer, claims_of, digest

pytestmark = pytest.mark.req("I3", "T6")

TIMES = {"iat", "nbf", "exp"}
DETAIL = {"type": "tool_call", "tool": "t", "arguments_sha256": digest(REFUND), "effect_key": "k", "max_uses": 1}

# Times are seconds from the moment of the call.
WRONG_CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    "other issuer": ({"iss": "somebody"}, "token_issuer_invalid"),
    "no issuer": ({"iss": None}, "token_issuer_invalid"),
    "other audience": ({"aud": "warehouse"}, "token_audience_invalid"),
    "several audiences": ({"aud": ["backoffice", "warehouse"]}, "token_audience_invalid"),
    "expired": ({"iat": -400, "nbf": -400, "exp": -200}, "token_expired"),
    "not yet valid": ({"nbf": 600}, "token_not_yet_valid"),
    "issued in the future": ({"iat": 600, "exp": 700}, "token_not_yet_valid"),
    "lives too long": ({"exp": 301}, "token_lifetime_too_long"),
    "ends before it begins": ({"iat": 0, "exp": -1}, "token_lifetime_too_long"),
    "no expiry": ({"exp": None}, "token_claims_invalid"),
    "expiry as text": ({"exp": "60"}, "token_claims_invalid"),
    "no jti": ({"jti": None}, "token_claims_invalid"),
    "no tenant": ({"tenant": None}, "token_claims_invalid"),
    "no epoch": ({"epoch": None}, "token_claims_invalid"),
    "no run": ({"txn": None}, "token_claims_invalid"),
    "agent of another tenant": ({"sub": "agent:globex/support_refund"}, "token_claims_invalid"),
    "user without an agent": ({"sub": "user:acme/ann"}, "token_claims_invalid"),
    "user of another tenant": (
        {"sub": "user:globex/ann", "act": {"sub": "agent:acme/support_refund"}},
        "token_claims_invalid",
    ),
    "no details": ({"authorization_details": []}, "token_claims_invalid"),
    "two calls": ({"authorization_details": [DETAIL, DETAIL]}, "token_claims_invalid"),
    "several uses": ({"authorization_details": [{**DETAIL, "max_uses": 2}]}, "token_claims_invalid"),
}


@pytest.mark.parametrize("case", WRONG_CLAIMS)
def test_wrong_claims_are_refused_without_effect(server: Server, caller: Caller, case: str) -> None:
    claims, code = WRONG_CLAIMS[case]
    now = int(time.time())
    shifted = {name: now + value for name, value in claims.items() if name in TIMES and isinstance(value, int)}
    answer = caller.refund(claims={**claims, **shifted})
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert set(answer.json()) == {"code", "message"}
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert server.refunds() == []


def _unsigned(claims: dict[str, Any], issuer: Issuer) -> str:
    parts = [{"alg": "none", "typ": "JWT", "kid": issuer.kid}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, ""])


def _tampered(claims: dict[str, Any], issuer: Issuer) -> str:
    head, _, signature = issuer.sign(claims).split(".")
    body = base64.urlsafe_b64encode(json.dumps({**claims, "tenant": "globex"}).encode()).rstrip(b"=").decode()
    return f"{head}.{body}.{signature}"


def _public_key_as_secret(claims: dict[str, Any], issuer: Issuer) -> str:
    secret = OctKey.import_key(base64.urlsafe_b64decode(f"{issuer.key.as_dict(private=False)['x']}="))
    return issuer.sign(claims, header={"alg": "HS256"}, key=secret)


WRONG_TOKENS: dict[str, tuple[Callable[[dict[str, Any], Issuer], str], str]] = {
    "unsigned": (_unsigned, "token_algorithm_invalid"),
    "tampered": (_tampered, "token_signature_invalid"),
    "public key as shared secret": (_public_key_as_secret, "token_algorithm_invalid"),
    "another algorithm": (
        lambda claims, issuer: issuer.sign(claims, header={"alg": "RS256"}, key=RSAKey.generate_key(2048)),
        "token_algorithm_invalid",
    ),
    "another key under our kid": (
        lambda claims, issuer: issuer.sign(claims, key=OKPKey.generate_key("Ed25519")),
        "token_signature_invalid",
    ),
    "unknown kid": (lambda claims, issuer: issuer.sign(claims, header={"kid": "else"}), "token_key_unknown"),
    "another type": (lambda claims, issuer: issuer.sign(claims, header={"typ": "at+jwt"}), "token_type_invalid"),
    "an empty part too many": (lambda claims, issuer: issuer.sign(claims).replace(".", "..", 1), "token_malformed"),
    "garbage": (lambda _claims, _issuer: "garbage", "token_malformed"),
    "enormous": (lambda _claims, _issuer: "a" * 9000, "token_malformed"),
}


@pytest.mark.parametrize("case", WRONG_TOKENS)
def test_wrong_tokens_are_refused_without_effect(server: Server, issuer: Issuer, case: str) -> None:
    make, code = WRONG_TOKENS[case]
    key = new_key()
    token = make(claims_of(REFUND, "refunds:write", key, "acme"), issuer)
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
    answer = server.http.post("/refunds", json=REFUND, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert server.refunds() == []


def test_missing_token_is_refused_before_the_body_is_judged(server: Server) -> None:
    answer = server.http.post("/refunds", content=b"{broken")
    assert (answer.status_code, answer.json()["code"]) == (401, "token_missing")


def test_unknown_tenant_is_refused(caller: Caller) -> None:
    answer = caller.write("/refunds", "refunds:write", REFUND, tenant="initech")
    assert (answer.status_code, answer.json()["code"]) == (403, "tenant_unknown")


@pytest.mark.parametrize("scope", ["", "refunds:read", "refunds:writeX", "orders:read tickets:send"])
def test_missing_scope_is_refused(server: Server, caller: Caller, scope: str) -> None:
    answer = caller.write("/refunds", scope, REFUND)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert server.refunds() == []


def test_changed_arguments_are_refused(server: Server, caller: Caller) -> None:
    key = new_key()
    headers = caller.headers("refunds:write", REFUND, key)
    answer = server.http.post("/refunds", json={**REFUND, "amount_minor": 2490}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "arguments_mismatch")
    assert server.refunds() == []


def test_token_for_one_order_reads_no_other(caller: Caller) -> None:
    answer = caller.read("/orders/ORD-1005", "orders:read", {"order_id": "ORD-1001"})
    assert (answer.status_code, answer.json()["code"]) == (403, "arguments_mismatch")


def test_other_idempotency_key_than_authorised_is_refused(server: Server, caller: Caller) -> None:
    headers = caller.headers("refunds:write", REFUND, new_key()) | {"Idempotency-Key": new_key()}
    answer = server.http.post("/refunds", json=REFUND, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "effect_key_mismatch")
    assert server.refunds() == []


def test_read_token_cannot_write(server: Server, caller: Caller) -> None:
    token = caller.issuer.mint(REFUND, "refunds:write", None)
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": new_key()}
    answer = server.http.post("/refunds", json=REFUND, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "effect_key_mismatch")
    assert server.refunds() == []


def test_write_token_reads_nothing(server: Server, caller: Caller) -> None:
    token = caller.issuer.mint({"order_id": "ORD-1001"}, "orders:read", new_key())
    answer = server.http.get("/orders/ORD-1001", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "not_a_read")


def test_token_is_spent_by_its_first_read(server: Server, caller: Caller) -> None:
    token = caller.issuer.mint({"order_id": "ORD-1001"}, "orders:read")
    first, again = (server.http.get("/orders/ORD-1001", headers={"Authorization": f"Bearer {token}"}) for _ in range(2))
    assert first.status_code == 200
    assert (again.status_code, again.json()["code"]) == (401, "token_replayed")


def test_tool_that_may_not_use_an_endpoint_is_refused(issuer: Issuer, tmp_path: Path) -> None:
    allowed = json.dumps({"POST /refunds": ["payments.issue_refund"]})
    with Server(tmp_path, str(issuer.jwks_file), BACKOFFICE_TOOLS=allowed) as server:
        caller = Caller(issuer, server)
        answer = caller.refund()
        assert (answer.status_code, answer.json()["code"]) == (403, "tool_not_allowed")
        assert server.refunds() == []
        detail = {**DETAIL, "tool": "payments.issue_refund", "effect_key": (key := new_key())}
        assert caller.refund(key=key, claims={"authorization_details": [detail]}).status_code == 201


def test_token_is_spent_by_its_first_write(server: Server, caller: Caller) -> None:
    key = new_key()
    headers = caller.headers("refunds:write", REFUND, key)
    first = server.http.post("/refunds", json=REFUND, headers=headers)
    again = server.http.post("/refunds", json=REFUND, headers=headers)
    assert first.status_code == 201
    assert (again.status_code, again.json()["code"]) == (401, "token_replayed")
    assert len(server.refunds()) == 1


def test_spent_tokens_stay_spent_after_a_reset(server: Server, caller: Caller) -> None:
    headers = caller.headers("refunds:write", REFUND, new_key())
    server.http.post("/refunds", json=REFUND, headers=headers)
    server.admin("POST", "/reset")
    again = server.http.post("/refunds", json=REFUND, headers=headers)
    assert again.json()["code"] == "token_replayed"
    assert server.refunds() == []


def test_clock_leeway_is_thirty_seconds(caller: Caller) -> None:
    now = int(time.time())
    late = {"iat": now - 80, "nbf": now - 80, "exp": now - 20}
    early = {"iat": now + 20, "nbf": now + 20, "exp": now + 80}
    for claims in (late, early):
        assert caller.order(claims=claims).is_success


def test_agent_acts_on_behalf_of_a_user_and_the_books_say_so(server: Server, caller: Caller) -> None:
    actor = "agent:acme/support_refund"
    caller.refund(claims={"sub": "user:acme/ann", "act": {"sub": actor}})
    [entry] = server.books()["effects"]
    assert (entry["subject"], entry["actor"]) == ("user:acme/ann", actor)


@pytest.mark.parametrize(
    "scope_of_rule",
    [
        {},
        {"tenant": "acme"},
        {"tenant": "acme", "run": "run-1"},
        {"tenant": "acme", "agent": "agent:acme/support_refund"},
    ],
)
def test_revoked_epoch_is_refused_for_reads_and_writes(
    server: Server, caller: Caller, scope_of_rule: dict[str, str]
) -> None:
    server.admin("POST", "/revocations", {**scope_of_rule, "minimum_epoch": 5})
    lowered = server.admin("POST", "/revocations", {**scope_of_rule, "minimum_epoch": 2})
    assert lowered.json()["minimum_epoch"] == 5
    write = caller.refund(claims={"epoch": 4})
    read = caller.order(claims={"epoch": 4})
    assert [(a.status_code, a.json()["code"]) for a in (write, read)] == [(401, "token_revoked")] * 2
    assert server.refunds() == []
    assert caller.refund(claims={"epoch": 5}).status_code == 201


def test_revocation_of_one_run_leaves_others_alone(server: Server, caller: Caller) -> None:
    server.admin("POST", "/revocations", {"tenant": "acme", "run": "run-2", "minimum_epoch": 9})
    server.admin("POST", "/revocations", {"tenant": "globex", "minimum_epoch": 9})
    assert caller.refund().status_code == 201
