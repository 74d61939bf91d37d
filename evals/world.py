"""The system of record that the cases act on: a tenant for each case, its faults, its books."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import httpx
import yaml

from contracts.base import JsonObject
from evals.cases import World
from evals.evidence import Books

__all__ = ["BackOffice", "WorldError"]

_TIMEOUT_S = 20
_SEEDED_RUN = "seed"
_STATUS_WRITES = ("POST /tickets/{ticket_id}/status", "POST /tickets/{ticket_id}/status/restoration")
_KEYS = {"customers": "customer_id", "orders": "order_id", "tickets": "ticket_id"}


class WorldError(ValueError):
    """A case's world cannot be made as the case describes it."""


class BackOffice:
    """The example back office through its admin endpoints."""

    def __init__(self, url: str, admin_token: str, seed_file: Path) -> None:
        self.url = url
        self._http = httpx.AsyncClient(
            base_url=url, timeout=_TIMEOUT_S, headers={"Authorization": f"Bearer {admin_token}"}
        )
        seed: Any = yaml.safe_load(seed_file.read_text(encoding="utf-8"))
        self._seeded = cast("dict[str, dict[str, list[JsonObject]]]", seed["tenants"])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def make(self, tenant: str, world: World) -> None:
        """Add a tenant with the world's records, and plan its faults.

        Raises:
            WorldError: the back office does not accept them.
            httpx.TransportError: it cannot be reached.
        """
        if world.like not in self._seeded:
            raise WorldError(f"the seed has no tenant {world.like}; it has {', '.join(self._seeded)}")
        records = _overlaid(self._seeded[world.like], world)
        await self._post("/admin/tenants", {"tenant": tenant, "records": records})
        for fault in world.faults:
            await self._post("/admin/faults", {**fault, "tenant": tenant})

    async def books(self, tenant: str) -> Books:
        """What was done to a tenant since it was made.

        Raises:
            httpx.HTTPError: the books cannot be read.
        """
        answer = await self._http.get("/admin/books", params={"tenant": tenant})
        found = cast("dict[str, list[JsonObject]]", answer.raise_for_status().json())
        # Not by its version: a draft raises that too, and stands among the drafts already.
        changed = {str(row["resource_id"]) for row in found["effects"] if row["operation"] in _STATUS_WRITES}
        return Books(
            refunds=tuple(row for row in found["refunds"] if row["run"] != _SEEDED_RUN),
            drafts=tuple(found["drafts"]),
            tickets={
                str(row["ticket_id"]): str(row["status"]) for row in found["tickets"] if row["ticket_id"] in changed
            },
            writes=len(found["effects"]),
        )

    async def _post(self, path: str, body: Mapping[str, object]) -> None:
        answer = await self._http.post(path, json=body)
        if answer.is_client_error:
            raise WorldError(f"the back office refuses {path}: {answer.text[:300]}")
        answer.raise_for_status()


def _overlaid(seeded: Mapping[str, Sequence[JsonObject]], world: World) -> dict[str, list[JsonObject]]:
    """The seed's records, with the world's put in place of those with the same id."""
    records: dict[str, list[JsonObject]] = {}
    for kind, key in _KEYS.items():
        own: tuple[JsonObject, ...] = getattr(world, kind)
        replaced = [row.get(key) for row in own]
        records[kind] = [*(row for row in seeded.get(kind, ()) if row[key] not in replaced), *own]
    return records
