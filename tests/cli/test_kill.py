"""`countersign kill`, as the person on call types it at two in the morning: the database is all that it needs."""

import asyncio
import json
from typing import cast

import pytest
import typer
from typer.core import TyperGroup

from cli.main import build, run
from settings import Settings
from store.database import Database
from store.switches import list_switches
from tests.cli.test_keys import settings

__all__ = ["settings"]

BY = ("--as", "acme/oncall")
WHY = ("--reason", "refunds look wrong")

SIGNED_IN = {
    "runs rate",
    "runs pause", "runs resume", "runs end", "runs hand-over", "kill global", "kill tenant", "kill agent", "kill tool",
    "kill run", "kill release", "kill drill",
}  # fmt: skip
"""Verbs of these groups that act in somebody's name; the others only read, with the machine's own access."""
READS = {"runs list", "runs show", "runs watch", "runs export", "runs ratings", "runs reads", "kill list"}


def on(settings: Settings) -> list[str]:
    """The switches that are on."""

    async def look() -> list[str]:
        async with (
            Database(settings.database_address(), role=settings.database_role) as db,
            db.tenant("acme") as cursor,
        ):
            return [f"{one.kind} {one.target} {one.set_by}" for one in await list_switches(cursor, "acme")]

    return asyncio.run(look())


@pytest.mark.req("H8")
def test_each_scope_is_stopped_and_listed_and_one_is_released(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = "run-" + "a" * 26
    for words in (
        ("global",),
        ("tenant",),
        ("agent", "support_refund"),
        ("tool", "payments.issue_refund"),
    ):
        assert run(["kill", *words, *BY, *WHY, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["fresh"]
    assert run(["kill", "run", run_id, *BY, *WHY, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["fresh"]
    assert on(settings) == [
        f"run {run_id} oncall", "tool payments.issue_refund oncall", "agent support_refund oncall",
        "tenant * oncall", "global * oncall",
    ]  # fmt: skip
    assert run(["kill", "global", *BY, *WHY]) == 0
    assert "was stopped already" in capsys.readouterr().out
    assert run(["kill", "release", "1", *BY, "--reason", "a wrong report"]) == 0
    assert len(on(settings)) == 4
    capsys.readouterr()
    assert run(["kill", "list", "--tenant", "acme"]) == 0
    assert "refunds look wrong" in capsys.readouterr().out
    assert run(["kill", "list", "--released", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["switch"]["released_reason"] for one in listed["released"]] == ["a wrong report"]


@pytest.mark.req("H8")
@pytest.mark.parametrize(
    ("scope", "name", "instead"),
    [
        ("agent", "suport_refund", "agents here: support_refund, support_refund_undo."),
        ("tool", "payments.isue_refund", "payments.issue_refund"),
        ("run", "run-" + "a" * 26, "countersign runs list"),
    ],
)
def test_a_misspelt_name_is_stopped_and_said_to_stop_nothing(
    settings: Settings, scope: str, name: str, instead: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["kill", scope, name, *BY, *WHY]) == 1
    said = capsys.readouterr()
    assert "kill release 1" in said.out
    assert f"nobody here knows {scope} {name}" in said.err
    assert instead in said.err
    assert on(settings) == [f"{scope} {name} oncall"]


@pytest.mark.req("I9")
def test_what_is_not_allowed_or_makes_no_sense_stops_nothing(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, says in (
        (("agent", "support_refund", "--as", "acme/root", *WHY), "has no role"),
        (("agent", "support_refund", "--as", "acme/nobody", *WHY), "cannot sign in"),
        (("agent", "support_refund", *BY, "--reason", " "), "say why"),
        (("agent", "No such", *BY, *WHY), "is no agent"),
        (("release", "77", *BY, *WHY), "no switch 77"),
    ):
        assert run(["kill", *words]) in (1, 2)
        assert says in capsys.readouterr().err
    assert on(settings) == []


@pytest.mark.req("I9")
@pytest.mark.parametrize("group", ["runs", "kill"])
def test_every_verb_that_stops_or_orders_asks_who(group: str) -> None:
    """A new verb of these groups belongs to one of the two lists, or this fails."""
    root = cast("TyperGroup", typer.main.get_command(build(group)))
    verbs = cast("TyperGroup", root.commands[group]).commands
    asks = {f"{group} {name}": any("--as" in one.opts for one in verb.params) for name, verb in verbs.items()}
    assert asks == {verb: verb in SIGNED_IN for verb in SIGNED_IN | READS if verb.startswith(f"{group} ")}
