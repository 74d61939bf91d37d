"""Somebody with every role in a tenant asks each page and endpoint for another's things: nothing comes out or moves."""

import json
import re
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.base import JsonObject
from contracts.canonical import run_id_for
from store.accounts import ROLES, find_account
from store.emergencies import request_emergency
from store.switches import throw_switch
from tests.approvals.conftest import Office, office_at
from tests.approvals.scene import Person, add_people, ask, settings_for
from tests.approvals.test_roles import BODIES, FORMS, NEEDS, VALUES
from tests.conftest import DatabaseAddresses
from tests.tenants.twins import connected, tables_of

pytestmark = pytest.mark.req("I5", "I9")
CANARY = "Zebrafinch"
THEIRS = "other"
EVERYBODY = ("support-leads", "finance")
NOSY = Person("nosy", EVERYBODY, roles=ROLES)
VICTIM = Person("victim", EVERYBODY, roles=ROLES, tenant=THEIRS, person=CANARY)
SCOPE = {"agent": CANARY, "tools": [CANARY], "lifts": ["stage"], "max_minutes": 30, "approvers": "support-leads"}
LIMITS: JsonObject = {
    "tokens": 1_000, "micros": 1_000, "steps": 10, "tool_calls": 10, "malformed": 2, "active_s": 60, "age_s": 600,
    "on_exceeded": "escalate",
}  # fmt: skip
_RUN = """select * from open_run(%s, %s, 'support_refund', 1, 'sha256:0', %s, null, null, null, %s, null, '[]'::jsonb,
    '[]'::jsonb, %s, array['{"role":"system","text":"x"}', '{"role":"user","text":"Zebrafinch"}'], array[5, 5],
    '{"opened":1}')"""
_DOUBT = """insert into effects (tenant, run_id, step, call, tool, tool_version, service, arguments_digest, arguments,
    natural_key, state, fence) values (%s, %s, 1, 0, %s, 1, %s, 'sha256:0', %s, %s, 'unknown', 1)"""

CLOSED = {"GET /requests/live"}
"""A stream, which these tests close: it would go on for ever."""


@dataclass(frozen=True)
class Neighbours:
    """An application with two tenants; of theirs, every identifier that an address or a form can hold."""

    office: Office
    owner_url: str
    ids: dict[str, str]

    def rows(self) -> dict[str, list[str]]:
        """Everything that the other tenant has."""
        with connected(self.owner_url) as owner:
            guarded = [table["name"] for table in tables_of(owner) if table["has_tenant"]]
            return {
                name: sorted(json.dumps(row, default=str) for row in owner.execute(
                    f"select * from {name} where tenant = %s".encode(), (THEIRS,)))  # noqa: S608 - names of the catalog
                for name in guarded
            }  # fmt: skip


@pytest.fixture
async def neighbours(database: DatabaseAddresses, tmp_path: Path) -> AsyncGenerator[Neighbours]:
    settings = settings_for(database.url, tmp_path / "office", temporal_address="127.0.0.1:1")
    async with office_at(settings) as office:
        await add_people(office.db, NOSY, VICTIM)
        run_id, quoted = run_id_for(THEIRS, "tests", CANARY), json.dumps({"goal": CANARY, "limits": LIMITS})
        await office.db.call(_RUN, (THEIRS, run_id, quoted, run_id, CANARY))
        request = await ask(office.db, CANARY, tenant=THEIRS, resource_id=CANARY, asked_by=CANARY)
        with connected(database.owner_url, autocommit=True) as owner:
            owner.execute(_DOUBT, (THEIRS, run_id, CANARY, CANARY, quoted, CANARY))
        thrown = await throw_switch(
            office.db, tenant=THEIRS, scope="agent", target=CANARY, reason=CANARY, by=CANARY, tenants=[THEIRS]
        )
        async with office.db.tenant(THEIRS) as cursor:
            emergency = await request_emergency(cursor, THEIRS, CANARY, SCOPE, minutes=20, reason=CANARY, person=CANARY)
        office.app.state.services.live.close()
        ids = {
            "request_id": request.request_id, "digest": request.digest, "run_id": run_id,
            "switch_id": str(thrown.switch_id), "emergency_id": emergency.emergency_id, "step": "1", "call": "0",
        }  # fmt: skip
        yield Neighbours(office, database.owner_url, {**VALUES, **ids})


async def answers(neighbours: Neighbours, who: Person, methods: tuple[str, ...]) -> dict[str, httpx.Response]:
    """What somebody gets who asks each route for the other tenant's things, with forms that would do there."""
    desk = neighbours.office.app.state.services.desk
    async with neighbours.office.db.tenant(who.tenant) as cursor:
        token = await desk.start(await find_account(cursor, who.tenant, who.username))
    csrf = (await desk.find(token)).csrf
    found: dict[str, httpx.Response] = {}
    for route in NEEDS:
        method, _, path = route.partition(" ")
        if method not in methods or "sign-out" in path:
            continue
        address = re.sub(r"\{(\w+)\}", lambda match: neighbours.ids[match[1]], path)
        async with neighbours.office.visitor() as client:
            if path.startswith("/api/"):
                client.headers["authorization"] = f"Bearer {token}"
                body = theirs(BODIES.get(route), neighbours.ids) if method == "POST" else None
                found[route] = await client.request(method, address, json=body)
            else:
                client.cookies.set(desk.cookie, token)
                form = theirs(FORMS.get(route, {}), neighbours.ids)
                found[route] = await client.request(
                    method, address, data={"csrf": csrf, **form} if method == "POST" else None
                )
    return found


def theirs(value: Any, ids: dict[str, str]) -> Any:  # noqa: ANN401 - a form, or any JSON
    """The form with the other tenant's digest and run in it."""
    text = json.dumps(value).replace("sha256:" + "0" * 64, ids["digest"]).replace("run-" + "b" * 26, ids["run_id"])
    return json.loads(text.replace('"verdict": "deny"', '"verdict": "approve"'))


def told(answer: httpx.Response) -> Iterator[str]:
    yield answer.text
    yield from answer.headers.values()


async def test_no_page_and_no_endpoint_shows_or_changes_what_another_tenant_has(neighbours: Neighbours) -> None:
    before = neighbours.rows()
    assert sum(CANARY in row for rows in before.values() for row in rows) >= 5
    found = await answers(neighbours, NOSY, ("GET", "POST"))
    assert {route: answer.status_code for route, answer in found.items() if answer.status_code >= 500}.keys() <= CLOSED
    assert [route for route, answer in found.items() if any(CANARY in text for text in told(answer))] == []
    assert neighbours.rows() == before


async def test_its_own_people_are_shown_all_of_it(neighbours: Neighbours) -> None:
    """Else the test above would show nothing."""
    found = await answers(neighbours, VICTIM, ("GET",))
    shown = {route for route, answer in found.items() if any(CANARY in text for text in told(answer))}
    assert shown >= {
        "GET /requests", "GET /requests/{request_id}", "GET /runs/{run_id}", "GET /stop", "GET /emergencies",
        "GET /doubts", "GET /doubts/{run_id}/{step}/{call}", "GET /api/approvals", "GET /api/approvals/{request_id}",
        "GET /api/stop", "GET /api/doubts",
    }, shown  # fmt: skip
