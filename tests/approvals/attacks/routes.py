"""The routes of the application as it is, so that one that is added tomorrow is attacked tomorrow."""

import hashlib
import re
from dataclasses import dataclass

import psycopg
from fastapi.routing import APIRoute
from psycopg import sql
from starlette.routing import BaseRoute, Route

from approvals.roles import role_of
from tests.approvals.conftest import Office

__all__ = ["Way", "state_of", "ways"]

_VALUES = {
    "request_id": "apr-" + "a" * 26, "run_id": "run-" + "a" * 26, "emergency_id": "emg-" + "a" * 26,
    "delegation_id": "dlg-" + "a" * 26, "standing_id": "std-" + "a" * 26, "token_id": "tok-" + "a" * 26,
    "digest": "0" * 64, "tenant": "acme", "stamp": "0" * 16, "name": "base.css",
}  # fmt: skip
_MAY_MOVE = {"sessions", "request_views"}
"""Who looks leaves a trace there: when the session was last used, and when a request was first seen."""


@dataclass(frozen=True)
class Way:
    """A method on an address."""

    method: str
    path: str
    role: str | None

    @property
    def address(self) -> str:
        """An address of the route; numbers where it has no better value."""
        return re.sub(r"\{(\w+)\}", lambda found: _VALUES.get(found[1], "1"), self.path)

    @property
    def is_api(self) -> bool:
        """Whether it takes its token from a header."""
        return self.path.startswith("/api/")


def ways(office: Office) -> list[Way]:
    """Every method on every route."""
    parts = [getattr(part, "original_router", None) for part in office.app.routes]
    alone = [route for route in office.app.routes if getattr(route, "original_router", None) is None]
    routes: list[BaseRoute] = [*alone, *(route for part in parts if part for route in part.routes)]
    return [
        Way(method, route.path, role_of(route) if isinstance(route, APIRoute) else None)
        for route in routes
        if isinstance(route, Route)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]


def state_of(owner_url: str) -> dict[str, str]:
    """A digest of the rows of every table, but of those that looking alone moves."""
    found: dict[str, str] = {}
    with psycopg.connect(owner_url) as connection:
        names = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        for name in sorted({str(row[0]) for row in names} - _MAY_MOVE):
            query = sql.SQL("select coalesce(string_agg(t::text, '|' order by t::text), '') as rows from {} t")
            row = connection.execute(query.format(sql.Identifier(name))).fetchone()
            found[name] = hashlib.sha256(str(row[0]).encode()).hexdigest() if row else ""
    return found
