"""Admin endpoints: shut unless configured, closed to strangers, and a reset returns to the seed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.examples.caller import Caller
from tests.examples.server import ADMIN_TOKEN, ROOT, Server
from tests.examples.tokens import Issuer

ENDPOINTS = [
    ("POST", "/admin/reset"),
    ("POST", "/admin/tenants"),
    ("GET", "/admin/books?tenant=acme"),
    ("POST", "/admin/faults"),
    ("GET", "/admin/faults"),
    ("DELETE", "/admin/faults"),
    ("POST", "/admin/revocations"),
]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@pytest.mark.parametrize("presented", [None, "Bearer", "Bearer wrong", f"bearer{ADMIN_TOKEN}", ADMIN_TOKEN])
def test_stranger_is_refused(server: Server, method: str, path: str, presented: str | None) -> None:
    headers = {} if presented is None else {"Authorization": presented}
    answer = server.http.request(method, path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "admin_token_invalid")


def test_call_token_opens_no_admin_endpoint(server: Server, caller: Caller) -> None:
    token = caller.issuer.mint({}, "admin refunds:write")
    answer = server.http.post("/admin/reset", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


def test_without_a_configured_token_there_are_no_admin_endpoints(issuer: Issuer, tmp_path: Path) -> None:
    with Server(tmp_path, str(issuer.jwks_file), BACKOFFICE_ADMIN_TOKEN="") as server:
        for method, path in ENDPOINTS:
            answer = server.http.request(method, path, headers={"Authorization": "Bearer"})
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_reset_returns_to_the_seed(server: Server, caller: Caller) -> None:
    before = server.books()
    caller.refund()
    caller.write("/tickets/TIC-2001/status", "tickets:write", {"ticket_id": "TIC-2001", "status": "solved"})
    assert server.books() != before
    assert server.admin("POST", "/reset").json() == {"tenants": ["acme", "globex"]}
    assert server.books() == before


def test_reset_takes_a_seed_of_the_callers_own(server: Server, caller: Caller) -> None:
    seed: dict[str, Any] = yaml.safe_load((ROOT / "examples/backoffice/seed.yaml").read_text(encoding="utf-8"))
    acme = seed["tenants"]["acme"]
    acme["orders"], acme["tickets"] = acme["orders"][:1], []
    result = server.admin("POST", "/reset", {"seed": {"tenants": {"acme": acme}}})
    assert result.json() == {"tenants": ["acme"]}
    assert [order["order_id"] for order in server.books()["orders"]] == ["ORD-1001"]
    assert caller.refund().status_code == 201


def test_seed_that_does_not_fit_together_changes_nothing(server: Server) -> None:
    before = server.books()
    seed: dict[str, Any] = yaml.safe_load((ROOT / "examples/backoffice/seed.yaml").read_text(encoding="utf-8"))
    seed["tenants"]["acme"]["customers"] = []
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    answer = server.http.post("/admin/reset", json={"seed": seed}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "arguments_invalid")
    assert server.books() == before


@pytest.mark.parametrize(
    "plan",
    [
        {"method": "POST", "path_regex": "(", "mode": "slow"},
        {"method": "POST", "path_regex": "x", "mode": "explode"},
        {"method": "POST", "path_regex": "x", "mode": "slow", "times": 0},
        {"method": "POST", "path_regex": "x", "mode": "slow", "retry_after_s": 1},
        {"method": "POST", "path_regex": "x", "mode": "slow", "seconds": 601},
    ],
)
def test_fault_plan_that_makes_no_sense_is_refused(server: Server, plan: dict[str, Any]) -> None:
    answer = server.http.post("/admin/faults", json=plan, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
    assert (answer.status_code, answer.json()["code"]) == (422, "arguments_invalid")


def test_unknown_endpoint_and_method_answer_in_the_same_shape(server: Server) -> None:
    unknown, method = server.http.get("/nothing"), server.http.delete("/refunds")
    assert (unknown.status_code, set(unknown.json())) == (404, {"code", "message"})
    assert (method.status_code, method.json()["code"]) == (405, "method_not_allowed")


def test_openapi_document_lists_every_endpoint(server: Server) -> None:
    document = server.http.get("/openapi.json").json()
    body = document["paths"]["/refunds"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["additionalProperties"] is False
    assert set(body["required"]) == {"order_id", "amount_minor", "currency", "reason_code"}
    assert len(document["paths"]) >= 18


@pytest.mark.parametrize(("name", "value"), [("PORT", "high"), ("HANG_S", "-1"), ("SEED_FILE", "absent.yaml")])
def test_wrong_setting_is_said_in_one_line(issuer: Issuer, tmp_path: Path, name: str, value: str) -> None:
    server = Server(tmp_path, str(issuer.jwks_file), **{f"BACKOFFICE_{name}": value})
    with pytest.raises(RuntimeError, match="error: the backoffice cannot start") as caught, server:
        pass
    server.http.close()
    assert "Traceback" not in str(caught.value)


def test_a_tenant_is_added_beside_the_others(server: Server) -> None:
    seed: dict[str, Any] = yaml.safe_load((ROOT / "examples/backoffice/seed.yaml").read_text(encoding="utf-8"))
    new = {"tenant": "case-1", "records": seed["tenants"]["acme"]}
    before = server.books()
    server.admin("POST", "/tenants", new)
    added = server.books("case-1")
    assert {**added, "tenant": "acme"} == before == server.books()
    again = server.http.post("/admin/tenants", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}, json=new)
    assert (again.status_code, again.json()["code"]) == (409, "tenant_exists")
