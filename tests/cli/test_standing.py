"""`countersign standing`, as it is typed, against a real form."""

import asyncio
import json

import pytest

from cli.main import run
from settings import Settings
from store.database import Database
from tests.approvals.scene import Person, add_people
from tests.cli.test_approvals import asked, settings

__all__ = ["settings"]

pytestmark = pytest.mark.req("A9")
WHY = ("--reason", "A truck of parcels was lost.")


async def _more_leads(settings: Settings) -> None:
    async with Database(settings.database_address(), role=settings.database_role) as db:
        await add_people(db, *(Person(name, ("support-leads",)) for name in ("mia", "noa")))


def test_it_is_proposed_decided_looked_at_and_revoked(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_more_leads(settings))
    like = asked(settings).request_id
    assert run(["standing", "scopes"]) == 0
    assert "small-refunds" in capsys.readouterr().out
    propose = ["standing", "propose", like, "--as", "acme/lena", "--scope", "small-refunds", "--uses", "3", *WHY]
    assert run([*propose, "--total", "900", "--bound", "house<=3"]) == 2
    assert "bounds no argument" in capsys.readouterr().err
    assert run([*propose, "--total", "900", "--bound", "currency<=3"]) == 1
    assert "is no number" in capsys.readouterr().err
    assert run(propose) == 1
    assert "how much all uses together may move" in capsys.readouterr().err
    bounds = ("--bound", "amount_minor<=400.00", "--bound", "reason_code=late_delivery|lost", "--bound", "note@any!")
    assert run([*propose, "--total", "900", *bounds]) == 0
    shown = capsys.readouterr().out
    assert "at most EUR 400.00" in shown
    assert '"late_delivery", "lost"' in shown
    assert run(["standing", "list", "--json"]) == 0
    [one] = json.loads(capsys.readouterr().out)
    key = one["shown"]["standing_id"]
    assert (one["state"], one["uses"], one["moved"]) == ("waits", "0 of 3", "EUR 0.00 of EUR 900.00")
    assert run(["standing", "approve", key, "--as", "acme/lena", "--yes", "--reason", "Mine."]) == 1
    assert "somebody else must decide" in capsys.readouterr().out
    assert run(["standing", "approve", key, "--as", "acme/mia", "--yes", "--reason", "Agreed."]) == 0
    assert "1 more must approve" in capsys.readouterr().out
    assert run(["standing", "approve", key, "--as", "acme/noa", "--yes", "--reason", "So do I."]) == 0
    assert "it holds" in capsys.readouterr().out
    assert run(["standing", "show", key]) == 0
    assert "Mia approved" in capsys.readouterr().out
    assert run(["standing", "revoke", key, "--as", "acme/lena", "--reason", "They were found."]) == 0
    assert run(["standing", "show", key]) == 1
    assert "They were found." in capsys.readouterr().out
    assert run(["standing", "show", "sta-none"]) == 1
    assert "no such standing approval" in capsys.readouterr().err
