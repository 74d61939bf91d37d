"""`countersign limits`: what the day has left, and a run of its own limits."""

import asyncio
import json
from pathlib import Path

import pytest

from cli.main import run
from store.database import Database
from store.limits import note_outcome
from store.model_calls import reserve_model_call
from tests.conftest import DatabaseAddresses
from tests.store.ledger_world import AGENT, BOUNDS, TENANT, new_run

pytestmark = pytest.mark.req("B1", "T6")

LIMITS = f"""
tenants:
  {TENANT}:
    day: {{tokens: 1000, money_minor: {{EUR: 150000}}}}
    agents:
      {AGENT}: {{tokens: 110, usd: "1.50"}}
    tools:
      books.pay: {{rate_per_day: 5, rate_per_minute: 2}}
"""


@pytest.fixture(autouse=True)
def busy_day(database: DatabaseAddresses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose model call reserved all of its agent's tokens; a tool that was cut off."""
    limits, tenants = tmp_path / "limits.yaml", tmp_path / "tenants.yaml"
    limits.write_text(LIMITS)
    tenants.write_text(f"tenants: {{{TENANT}: {{name: Acme, agents: {{{AGENT}: {{}}}}}}}}")
    monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", database.url)
    monkeypatch.setenv("COUNTERSIGN_LIMITS_FILE", str(limits))
    monkeypatch.setenv("COUNTERSIGN_TENANTS_FILE", str(tenants))

    async def used() -> None:
        async with Database(database.url, role="countersign_app") as db:
            made = await new_run(db)
            assert (await reserve_model_call(db, TENANT, made, 1, BOUNDS)).kind == "reserved"
            await note_outcome(db, TENANT, "books.pay", failed=True, failures=1, of_last=5, window_s=60, open_s=60)

    asyncio.run(used())


def shown(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = run(arguments)
    return code, capsys.readouterr().out


def test_the_day_shows_used_held_left_and_when_it_begins_anew(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = shown(["limits", "show"], capsys)
    assert code == 0
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert any(line.startswith(f"tenant {TENANT}, ") and "begins anew in" in line for line in lines)
    assert any(line.startswith(f"agent {AGENT} usd 0") and line.endswith("1.5") for line in lines)
    assert any(line.endswith("EUR 1,500.00") for line in lines)
    assert "books.pay: at most 2 calls in any 60 seconds" in text
    assert "books.pay is cut off until" in text


def test_what_is_used_up_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = shown(["limits", "show", AGENT, "--json"], capsys)
    (day,) = json.loads(text)
    (tokens,) = [budget for budget in day["budgets"] if budget["measure"] == "tokens"]
    assert code == 0
    assert {name: tokens[name] for name in ("scope", "subject", "cap")} == {
        "scope": "agent",
        "subject": AGENT,
        "cap": 110,
    }
    assert tokens["used"] + tokens["held"] >= 110
    assert tokens["left"] == 0
    assert "(used up)" in shown(["limits", "show", AGENT], capsys)[1]


def test_an_agent_that_nobody_has_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["limits", "show", "nobody"]) == 2
    assert "no tenant has an agent nobody" in capsys.readouterr().err
