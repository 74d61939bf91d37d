"""Operator roles: a table of every route and the one role it needs, compared with the application itself."""

import re

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute, Route

from approvals.roles import role_of, scope_of
from store.accounts import ROLES, Role, find_account
from tests.approvals.conftest import Office
from tests.approvals.scene import Person, add_people


class Alone:
    """A route that no router brought."""

    def __init__(self, route: BaseRoute) -> None:
        self.routes = [route]


PUBLIC = {
    "GET /healthz",
    "GET /readyz",
    "GET /static/{stamp}/{name}",
    "GET /sign-in",
    "GET /sign-in/back",
    "GET /sign-in/with/{tenant}",
    "POST /sign-in",
    "POST /sign-in/passkey",
    "POST /api/sign-in",
    "POST /api/device/code",
    "POST /api/device/token",
    "GET /api/openapi.json",
}
"""Routes that ask for nobody."""

NEEDS: dict[str, str] = {
    "GET /": "view",
    "GET /requests": "view",
    "GET /decisions": "view",
    "GET /requests/live": "view",
    "GET /requests/batch": "view",
    "POST /requests/batch": "approve",
    "GET /requests/{request_id}": "view",
    "GET /requests/{request_id}/live": "view",
    "GET /requests/{request_id}/seen/{digest}": "view",
    "GET /standing/{standing_id}/seen/{digest}": "view",
    "POST /requests/{request_id}/decision": "approve",
    "GET /requests/{request_id}/edit": "approve",
    "POST /requests/{request_id}/edit": "approve",
    "GET /stop": "view",
    "GET /stop/confirm": "kill",
    "POST /stop": "kill",
    "POST /stop/{switch_id}/release": "kill",
    "GET /runs/{run_id}": "view",
    "GET /runs/{run_id}/steps": "view",
    "POST /runs/{run_id}/orders": "kill",
    "POST /sign-out": "anybody",
    "GET /device": "anybody",
    "POST /device": "anybody",
    "POST /device/answer": "anybody",
    "GET /sessions": "anybody",
    "POST /sessions/end": "anybody",
    "POST /sessions/{session_id}/end": "anybody",
    "POST /api/sign-out": "anybody",
    "GET /api/me": "anybody",
    "GET /api/approvals": "view",
    "GET /api/counts": "view",
    "GET /api/decisions": "view",
    "GET /api/tokens": "administer",
    "POST /api/tokens": "administer",
    "POST /api/tokens/{token_id}/revocation": "administer",
    "GET /api/approvals/{request_id}": "view",
    "GET /api/approvals/{request_id}/seen": "view",
    "POST /api/approvals/{request_id}/decision": "approve",
    "GET /api/stop": "view",
    "POST /api/stop": "kill",
    "POST /api/stop/{switch_id}/release": "kill",
    "POST /api/runs/{run_id}/orders": "kill",
    "POST /api/runs/{run_id}/doubts": "undo",
    "GET /delegations": "view",
    "POST /delegations": "approve",
    "POST /delegations/of-others": "administer",
    "POST /delegations/{delegation_id}/end": "anybody",
    "GET /api/delegations": "view",
    "GET /api/approvals/{request_id}/assertions": "view",
    "GET /passkeys": "anybody",
    "POST /passkeys": "anybody",
    "POST /passkeys/options": "anybody",
    "POST /passkeys/challenge/{request_id}": "approve",
    "POST /passkeys/{passkey_id}/removal": "anybody",
    "GET /standing": "view",
    "GET /standing/new": "approve",
    "POST /standing": "approve",
    "GET /standing/{standing_id}": "view",
    "POST /standing/{standing_id}/decision": "approve",
    "POST /standing/{standing_id}/revocation": "approve or kill",
    "GET /api/standing": "view",
    "GET /api/standing/{standing_id}": "view",
    "POST /api/standing/{standing_id}/decision": "approve",
    "GET /emergencies": "view",
    "POST /emergencies/{emergency_id}/approval": "approve",
    "POST /emergencies/{emergency_id}/end": "kill",
    "POST /emergencies/{emergency_id}/review": "approve",
    "GET /reviews": "view",
    "GET /reviews/{run_id}/{step}/{call}": "view",
    "POST /reviews/{run_id}/{step}/{call}/label": "approve",
    "GET /reviewers": "administer",
    "GET /reviewers/mine": "view",
    "POST /runs/{run_id}/rating": "approve",
    "GET /doubts": "view",
    "GET /doubts/{run_id}/{step}/{call}": "view",
    "POST /doubts/{run_id}/{step}/{call}/resolution": "undo",
    "GET /api/doubts": "view",
    "POST /api/doubts/{run_id}/{step}/{call}/resolution": "undo",
}
"""Every other route, and the role it needs."""

MACHINES = {
    "GET /api/me": "anybody",
    "GET /api/approvals": "requests:read",
    "GET /api/approvals/{request_id}": "requests:read",
    "GET /api/approvals/{request_id}/seen": "requests:read",
    "GET /api/counts": "requests:read",
    "GET /api/decisions": "requests:read",
    "GET /api/stop": "runs:read",
    "GET /api/doubts": "runs:read",
    "POST /api/stop": "kill",
}
"""Routes that are open to machines, and the scope that each needs. None of them decides anything."""

VALUES = {
    "request_id": "apr-" + "a" * 26,
    "digest": "0" * 64,
    "run_id": "run-" + "a" * 26,
    "switch_id": "1",
    "emergency_id": "emg-" + "a" * 26,
    "standing_id": "sta-" + "a" * 26,
    "delegation_id": "dlg-" + "a" * 26,
    "token_id": "tok-" + "a" * 26,
    "session_id": "ses-" + "a" * 26,
    "passkey_id": "psk-" + "a" * 26,
    "step": "1",
    "call": "0",
}
FORMS = {
    "POST /standing": {"like": "apr-" + "a" * 26},
    "POST /standing/{standing_id}/decision": {"verdict": "deny", "digest": "sha256:" + "0" * 64, "reason": "no"},
    "POST /requests/{request_id}/decision": {"verdict": "deny", "digest": "sha256:" + "0" * 64, "reason": "no, thanks"},
    "POST /delegations": {"delegate": "nobody", "last_day": "2020-01-01", "reason": "a table test"},
    "POST /delegations/of-others": {
        "approver": "nobody",
        "delegate": "somebody",
        "last_day": "2020-01-01",
        "reason": "a table test",
    },
    "POST /stop": {"scope": "run", "target": "run-" + "b" * 26, "reason": "a table test"},
    "POST /stop/{switch_id}/release": {"reason": "a table test"},
    "POST /runs/{run_id}/orders": {"order": "pause", "reason": "a table test"},
    "POST /doubts/{run_id}/{step}/{call}/resolution": {"verdict": "abandon", "reason": "a table test"},
    "POST /reviews/{run_id}/{step}/{call}/label": {"label": "right"},
    "POST /runs/{run_id}/rating": {"useful": "yes"},
}
BODIES: dict[str, object] = {
    "POST /api/standing/{standing_id}/decision": {"verdict": "deny", "digest": "sha256:" + "0" * 64, "reason": "no"},
    "POST /api/tokens": {"name": "a table test", "scopes": ["requests:read"]},
    "POST /api/tokens/{token_id}/revocation": {"reason": "a table test"},
    "POST /api/approvals/{request_id}/decision": {"verdict": "deny", "digest": "sha256:" + "0" * 64, "reason": "no"},
    "POST /api/stop": {"scope": "run", "target": "run-" + "b" * 26, "reason": "a table test"},
    "POST /api/stop/{switch_id}/release": {"reason": "a table test"},
    "POST /api/runs/{run_id}/orders": {"order": {"kind": "pause"}, "reason": "a table test"},
    "POST /api/doubts/{run_id}/{step}/{call}/resolution": {"verdict": "abandon", "reason": "a table test"},
    "POST /api/runs/{run_id}/doubts": {
        "order": {"kind": "resolve_unknown", "step": 1, "call": 0}, "reason": "a table test"
    },
}  # fmt: skip


def routes(office: Office) -> dict[str, str | None]:
    """Every route of the application, and the role that it names."""
    listed: list[BaseRoute] = [
        route for part in office.app.routes for route in (getattr(part, "original_router", None) or Alone(part)).routes
    ]
    assert all(isinstance(route, Route) for route in listed), "a mount or a socket needs a rule of its own here"
    return {
        f"{method} {route.path}": role_of(route) if isinstance(route, APIRoute) else None
        for route in listed
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }


@pytest.mark.req("I9")
async def test_machines_enter_by_the_routes_of_the_table_alone(office: Office) -> None:
    listed = [context.original_route for context in iter_route_contexts(office.app.routes)]
    opened = {
        f"{method} {route.path}": scope
        for route in listed
        if isinstance(route, APIRoute) and (scope := scope_of(route)) is not None
        for method in route.methods or ()
    }
    assert opened == MACHINES


@pytest.mark.req("I9")
async def test_every_route_names_the_role_that_the_table_says(office: Office) -> None:
    found = routes(office)
    assert {route for route, role in found.items() if role is None} == PUBLIC
    assert {route: role for route, role in found.items() if role is not None} == NEEDS


async def status(office: Office, who: Person, route: str) -> int:
    """What somebody gets who asks for a route with a well-formed request."""
    method, _, path = route.partition(" ")
    address = re.sub(r"\{(\w+)\}", lambda match: VALUES[match[1]], path)
    desk = office.app.state.services.desk
    async with office.db.tenant(who.tenant) as cursor:
        account = await find_account(cursor, who.tenant, who.username)
    token = await desk.start(account)  # not by password: that is throttled
    async with office.visitor() as client:
        if path.startswith("/api/"):
            headers = {"authorization": f"Bearer {token}"}
            return (await client.request(method, address, json=BODIES.get(route), headers=headers)).status_code
        client.cookies.set(desk.cookie, token)
        if method == "GET":
            query = {"/stop/confirm": {"scope": "tenant"}, "/standing/new": {"like": "apr-" + "a" * 26}}.get(path)
            return (await client.get(address, params=query)).status_code
        csrf = (await desk.find(token)).csrf
        return (await client.post(address, data={"csrf": csrf, **FORMS.get(route, {})})).status_code


@pytest.mark.req("I9")
@pytest.mark.parametrize("role", ROLES)
async def test_a_route_opens_to_its_role_alone(office: Office, role: Role) -> None:
    who = Person(f"only-{role}", ("support-leads",), roles=(role,))
    await add_people(office.db, who)
    office.app.state.services.live.close()  # a stream would go on: now it is refused, after its role was looked at
    wrong = {
        route: found
        for route, needed in NEEDS.items()
        if ((found := await status(office, who, route)) == 403) == (role in needed.split(" or ") or needed == "anybody")
    }
    assert wrong == {}


@pytest.mark.req("I9")
async def test_a_role_that_is_taken_away_closes_the_next_page(office: Office) -> None:
    who = Person("late", (), roles=("view", "kill"))
    await add_people(office.db, who)
    async with office.signed_in(who) as client:
        assert (await client.get("/stop/confirm", params={"scope": "tenant"})).status_code == 200
        async with office.db.tenant(who.tenant) as cursor:
            await cursor.execute("update accounts set roles = array['view'] where username = 'late'")
        assert (await client.get("/stop/confirm", params={"scope": "tenant"})).status_code == 403
        assert (await client.get("/stop")).status_code == 200
