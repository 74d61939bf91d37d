"""What the books show of a tenant: what was written, and nothing that only came with it."""

from pathlib import Path

import pytest

from cli.eval_stack import SEED_FILE
from evals.cases import World
from evals.evaluators.results import EffectsInBooks
from evals.world import BackOffice
from tests.evals.scene import good, judged
from tests.examples.caller import Caller
from tests.examples.server import ADMIN_TOKEN, Server
from tests.examples.tokens import Issuer

TICKET = "/tickets/TIC-2001"


@pytest.mark.req("V3")
@pytest.mark.parametrize("tickets", [{}, {"TIC-2001": "solved"}, {"TIC-2001": "open"}])
async def test_a_ticket_with_a_draft_is_changed_only_by_a_new_status(tmp_path: Path, tickets: dict[str, str]) -> None:
    issuer = Issuer(tmp_path / "jwks.json")
    with Server(tmp_path, str(issuer.jwks_file)) as server:
        async with BackOffice(server.url, ADMIN_TOKEN, SEED_FILE) as world:
            await world.make("case-1", World(like="acme"))
            caller = Caller(issuer, server)
            draft = {"ticket_id": "TIC-2001", "text": "We are sorry."}
            assert caller.write(f"{TICKET}/drafts", "tickets:write", draft, tenant="case-1").status_code == 201
            for status in tickets.values():
                body = {"ticket_id": "TIC-2001", "status": status}
                assert caller.write(f"{TICKET}/status", "tickets:write", body, tenant="case-1").status_code == 200
            books = await world.books("case-1")
    assert books.tickets == tickets
    for said, verdict in ((tickets, "pass"), ({"TIC-2001": "new"}, "tickets changed")):
        expected = EffectsInBooks(drafts=({"ticket_id": "TIC-2001"},), tickets=said)  # pyright: ignore[reportArgumentType] - read as a condition
        assert verdict in await judged(expected, good(books=books))
