"""A caller for tests: it asks for the right token for each call, unless a test hands it another."""

import time
import uuid
from typing import Any

import httpx
import pytest

from tests.examples.server import POLL_S, Server
from tests.examples.tokens import Issuer

REFUND = {"order_id": "ORD-1001", "amount_minor": 1000, "currency": "EUR", "reason_code": "damaged_item"}

PATIENCE_S, ARRIVAL_LIMIT_S = 0.3, 30.0


def new_key() -> str:
    """Return an unused effect key in the form that runs give it."""
    return f"run-{uuid.uuid4().hex}/3/0"


class Caller:
    """Calls one backoffice as one agent."""

    def __init__(self, issuer: Issuer, server: Server) -> None:
        self.issuer = issuer
        self.server = server

    def read(
        self,
        path: str,
        scope: str,
        arguments: dict[str, Any],
        *,
        params: dict[str, Any] | None = None,
        tenant: str = "acme",
        claims: dict[str, Any] | None = None,
    ) -> httpx.Response:
        """Read with a fresh token in which the given claims replace its own."""
        token = self.issuer.mint(arguments, scope, tenant=tenant, claims=claims)
        headers = {"Authorization": f"Bearer {token}"}
        return self.server.http.get(path, headers=headers, params=params)

    def order(self, order_id: str = "ORD-1001", *, claims: dict[str, Any] | None = None) -> httpx.Response:
        """Read an order."""
        return self.read(f"/orders/{order_id}", "orders:read", {"order_id": order_id}, claims=claims)

    def headers(
        self,
        scope: str,
        body: dict[str, Any],
        key: str,
        *,
        tenant: str = "acme",
        claims: dict[str, Any] | None = None,
    ) -> dict[str, str]:
        """Return the headers of a write with a fresh token."""
        token = self.issuer.mint(body, scope, key, tenant=tenant, claims=claims)
        return {"Authorization": f"Bearer {token}", "Idempotency-Key": key}

    def write(
        self,
        path: str,
        scope: str,
        body: dict[str, Any],
        *,
        key: str | None = None,
        timeout_s: float = 10.0,
        tenant: str = "acme",
        claims: dict[str, Any] | None = None,
    ) -> httpx.Response:
        """Write with a fresh token in which the given claims replace its own."""
        headers = self.headers(scope, body, key or new_key(), tenant=tenant, claims=claims)
        return self.server.http.post(path, json=body, headers=headers, timeout=timeout_s)

    def refund(
        self,
        changes: dict[str, Any] | None = None,
        *,
        key: str | None = None,
        timeout_s: float = 10.0,
        claims: dict[str, Any] | None = None,
    ) -> httpx.Response:
        """Refund ten euros of ORD-1001, or what the changes say."""
        body = {**REFUND, **(changes or {})}
        return self.write("/refunds", "refunds:write", body, key=key, timeout_s=timeout_s, claims=claims)

    def give_up(self, key: str, *, done: bool) -> None:
        """Refund, and stop waiting while a planned fault holds the request: before the effect, or after it (`done`)."""
        before = self._turns_left()
        with pytest.raises(httpx.ReadTimeout):
            self.refund(key=key, timeout_s=PATIENCE_S)
        # A slow machine may not have come that far yet; it goes on without its caller.
        until_s = time.monotonic() + ARRIVAL_LIMIT_S
        while not (self.effect(key).is_success if done else self._turns_left() < before):
            assert time.monotonic() < until_s, "the request did not reach the fault"
            time.sleep(POLL_S)

    def _turns_left(self) -> int:
        return sum(fault["remaining"] for fault in self.server.admin("GET", "/faults").json()["faults"])

    def effect(self, key: str, *, tenant: str = "acme") -> httpx.Response:
        """Ask what became of a key."""
        return self.read(f"/effects/{key}", "effects:read", {"key": key}, tenant=tenant)
