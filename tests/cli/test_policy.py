"""`countersign policy`: what is wrong is found, cases are run, a decision is explained, permissions are shown."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from activities.agent_tools import AGENTS_FOLDER
from activities.bundles import Bundles, load_ladder, tiers_of
from activities.permissions import PAGE_COMMAND, permission_page, permission_rows
from activities.policy_cases import NO_MODEL, case_request, read_cases
from activities.registry import Registry
from cli.agent_new import write_agent
from cli.main import run
from cli.policy import PAGE
from policy.bundle import build_bundle
from policy.case import CaseFacts
from policy.decide import decide
from policy.ladder import Ladder
from policy.schema import cedar_schema
from settings import Settings
from tests.incidents.recordings import APPROVED, HISTORIES

AGENT = "support_refund"


@pytest.fixture
def agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the agent's folder and of the files that narrow it, which the command reads."""
    root = tmp_path / "agents"
    shutil.copytree(AGENTS_FOLDER / AGENT, root / AGENT, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "overlays").mkdir()
    monkeypatch.setenv("COUNTERSIGN_AGENTS_DIR", str(root))
    monkeypatch.setenv("COUNTERSIGN_OVERLAYS_DIR", str(tmp_path / "overlays"))
    return root / AGENT


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")


@pytest.mark.req("P7")
def test_check_of_whole_policies_names_the_bundle(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "check"]) == 0
    assert "bundle sha256:" in capsys.readouterr().out


@pytest.mark.req("P7", "P1")
def test_check_finds_every_mistake_with_its_place(
    agents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change(agents / "policy.cedar", "> 5000 }", '> "5000" }')
    (tmp_path / "overlays" / "acme.cedar").write_text(
        '@id("acme-p") @reason("r") permit (principal, action, resource);'
    )
    (tmp_path / "overlays" / "nobody.cedar").write_text("")
    tiers = tmp_path / "tiers.yaml"
    tiers.write_text("visible: 9")
    monkeypatch.setenv("COUNTERSIGN_TIERS_FILE", str(tiers))
    assert run(["policy", "check", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    line = next(
        number
        for number, text in enumerate((agents / "policy.cedar").read_text().splitlines(), 1)
        if "support-refund-over-50-eur" in text
    )
    assert [(item["rule"], item["severity"]) for item in found] == [
        ("policy-tiers", "error"),
        ("policy-type", "error"),
        ("policy-overlay", "error"),
        ("policy-overlay", "error"),
    ]
    assert (found[1]["file"], found[1]["line"]) == (f"agents/{AGENT}/policy.cedar", line)
    assert "there is no tenant nobody" in found[3]["message"]
    assert run(["policy", "check"]) == 1
    assert f"agents/{AGENT}/policy.cedar:{line}: error: " in capsys.readouterr().out


@pytest.mark.req("P7")
def test_a_policy_that_cannot_be_used_is_no_reason_to_guess(
    agents: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiers = tmp_path / "tiers.yaml"
    tiers.write_text("visible: 9")
    monkeypatch.setenv("COUNTERSIGN_TIERS_FILE", str(tiers))
    for verb in (["test"], ["matrix"], ["explain", str(HISTORIES / f"{APPROVED}.json")]):
        assert run(["policy", *verb]) == 2
        assert "countersign policy check" in capsys.readouterr().err


@pytest.mark.req("P7")
def test_cases_pass_and_a_wider_policy_fails_one(agents: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "test", AGENT]) == 0
    assert "0 failed" in capsys.readouterr().out
    change(agents / "policy.cedar", "> 5000 }", "> 6000 }")
    assert run(["policy", "test"]) == 1
    said = capsys.readouterr().out
    assert "failed: above-fifty-asks-a-lead" in said
    assert "expected one-support-lead, found allow" in said
    assert run(["policy", "test", "--json"]) == 1
    results = json.loads(capsys.readouterr().out)
    assert {item["case"] for item in results if not item["passed"]} >= {"above-fifty-asks-a-lead"}
    assert all(item["line"] > 1 for item in results)


@pytest.mark.req("P7")
def test_cases_that_cannot_be_decided_fail_and_say_why(agents: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (agents / "policy_tests.yaml").write_text(
        "cases:\n"
        "  - {name: a, call: crm.no_tool, expect: allow}\n"
        "  - {name: b, call: crm.read_ticket, expect: allow}\n"
        "  - {name: c, call: crm.read_ticket, arguments: {ticket_id: T}, expect: the-boss}\n"
        "  - {name: d, call: crm.read_ticket, arguments: {ticket_id: T}, facts: {stages: off}, expect: deny}\n"
        "  - {name: e, call: crm.read_ticket, arguments: {ticket_id: T}, granted: me, expect: deny}\n"
    )
    assert run(["policy", "test"]) == 1
    said = capsys.readouterr().out
    for words in ("no tool `crm.no_tool`", "`ticket_id`", "no rung `the-boss`", "`stages`", "no rung `me`"):
        assert words in said
    (agents / "policy_tests.yaml").write_text("cases: [")
    assert run(["policy", "test"]) == 2
    assert "policy_tests.yaml:1" in capsys.readouterr().err


@pytest.mark.req("S4", "P7")
def test_a_new_agents_cases_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_agent(tmp_path / "agents", "invoice_check", "me")
    monkeypatch.setenv("COUNTERSIGN_AGENTS_DIR", str(tmp_path / "agents"))
    assert run(["policy", "check"]) == 0
    assert run(["policy", "test", "invoice_check"]) == 0


def written(folder: Path, **facts: object) -> Path:
    """A decision about a refund of 319 EUR, in a file."""
    settings = Settings()
    registry = Registry.scan(settings.agents_dir, load_ladder(settings.ladder_file))
    bundle = Bundles(registry, settings.ladder_file, tiers_file=settings.tiers_file).current()
    agent = registry.agents[AGENT]
    pinned = registry.pin(AGENT, dict.fromkeys(agent.file.models, NO_MODEL), {})
    cases = read_cases(agent.folder)
    assert cases is not None
    arguments = {**cases.cases.arguments["payments.issue_refund"], "amount_minor": 31_900}
    given = CaseFacts.model_validate({**cases.cases.facts.model_dump(), **facts})
    request = case_request(bundle, pinned, agent.tools["payments.issue_refund"], arguments, given, {})
    file = folder / "decision.json"
    file.write_text(decide(bundle, request).model_dump_json())
    return file


@pytest.mark.req("P4", "H2", "I2")
def test_a_decision_is_explained_on_one_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, user={"name": "lena", "groups": ["support"]})
    assert run(["policy", "explain", str(file), "--current"]) == 0
    said = capsys.readouterr().out
    for words in (
        "needs approval of 1 of support-leads (one-support-lead)",
        "now the same",
        "acme/support_refund allowed by support-refund-issue",
        "acme/lena allowed by support-refund-for-users",
        "forbid support-refund-over-50-eur",
        "agents/support_refund/policy.cedar:",
        "A refund above 50.00 EUR needs a support lead.",
        "context.amount_minor > 5000",
        "nothing held",
        "one-support-lead: 1 of support-leads  allowed",
        "31900  trusted",
        "bundle  sha256:",
    ):
        assert words in said, words
    assert len(said.splitlines()) <= 70
    assert run(["policy", "explain", str(file), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [step["rung"] for step in shown["tried"]] == ["", "one-support-lead"]


@pytest.mark.req("A9", "H2")
def test_a_call_under_a_standing_approval_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path)
    recorded = json.loads(file.read_text())
    use = {"standing_id": "sta-" + "a" * 26, "number": 3, "max_uses": 20}
    file.write_text(json.dumps({**recorded, "granted": ["one-support-lead"], "standing": use}))
    assert run(["policy", "explain", str(file)]) == 0
    assert f"sta-{'a' * 26}, use 3 of 20" in capsys.readouterr().out
    assert run(["policy", "explain", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["standing"] == use


@pytest.mark.req("P4", "P7")
def test_what_the_current_policies_would_decide_otherwise_is_shown(
    agents: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path)
    change(agents / "policy.cedar", "> 5000 }", "> 40000 }")
    assert run(["policy", "explain", str(file)]) == 0
    assert "now it is sha256:" in capsys.readouterr().out
    assert run(["policy", "explain", str(file), "--current"]) == 1
    said = capsys.readouterr().out
    assert "now another: allowed" in said


@pytest.mark.req("H2")
def test_a_recorded_call_is_explained_from_its_history(capsys: pytest.CaptureFixture[str]) -> None:
    history = str(HISTORIES / f"{APPROVED}.json")
    assert run(["policy", "explain", history, "--step", "3"]) == 0
    said = capsys.readouterr().out
    assert "payments.issue_refund" in said
    assert "two-finance" in said
    assert "permit support-refund-issue" in said
    assert run(["policy", "explain", history, "--step", "99"]) == 2
    assert "Decided calls: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("nowhere.json", "cannot be read"),
        ("run-abc/x", "RUN/STEP/CALL"),
        ("not a run", "neither a file"),
    ],
)
def test_what_is_no_call_is_said(call: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "explain", call]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.req("I8")
def test_the_committed_permissions_are_those_of_the_policies() -> None:
    settings = Settings()
    registry = Registry.scan(settings.agents_dir, load_ladder(settings.ladder_file))
    bundle = Bundles(registry, settings.ladder_file, tiers_file=settings.tiers_file).current()
    page = permission_page(permission_rows(registry, bundle), bundle)
    assert PAGE.read_text("utf-8") == page, f"docs/PERMISSIONS.md is stale: run `{PAGE_COMMAND}` and review the change"


@pytest.mark.req("I8", "P11", "P3")
def test_each_number_of_ladder_and_tiers_stands_on_the_permissions_page() -> None:
    settings = Settings()
    ladder, tiers = settings.ladder_file.read_text("utf-8"), settings.tiers_file.read_text("utf-8")
    good = build_bundle({}, cedar_schema(()), ladder_of(ladder), tiers=tiers_of(tiers))
    changed = [replace(good, tiers=tiers_of(text)) for text in renumbered(tiers)]
    for text in renumbered(ladder):
        with suppress(ValidationError):  # a ladder with a rung that nobody is ever asked for is refused
            changed.append(replace(good, ladder=ladder_of(text)))
    assert len(changed) > 15
    page = permission_page((), good)
    assert [bundle for bundle in changed if permission_page((), bundle) == page] == []


def ladder_of(text: str) -> Ladder:
    return Ladder.model_validate(yaml.safe_load(text))


def renumbered(text: str) -> Iterator[str]:
    """The text with one of its numbers one higher, number by number."""
    for number in re.finditer(r"(?<=: )\d+\b", re.sub(r"#[^\n]*", lambda note: " " * len(note[0]), text)):
        yield f"{text[: number.start()]}{int(number[0]) + 1}{text[number.end() :]}"


@pytest.mark.req("I8")
def test_a_wider_policy_is_seen_in_the_matrix(agents: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def alone() -> dict[str, int]:
        assert run(["policy", "matrix", "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)
        return {
            f"{row['tool']} {row['currency']}": row["to_minor"]
            for row in rows
            if row["stages"]["limited_autonomy"] == "alone" and row["currency"]
        }

    assert alone() == {"payments.issue_refund EUR": 5_000}
    change(agents / "policy.cedar", "> 5000 }", "> 7000 }")
    change(agents / "policy.cedar", '["EUR"].contains', '["EUR", "USD"].contains')
    assert alone() == {"payments.issue_refund EUR": 7_000, "payments.issue_refund USD": 7_000}
    assert run(["policy", "matrix"]) == 0
    assert "docs/PERMISSIONS.md is stale" in capsys.readouterr().out
