"""Agents are found by scanning folders; what is pinned follows from their content; one that is broken stays alone."""

import shutil
from pathlib import Path

import pytest

from activities.agent_tools import AGENTS_FOLDER
from activities.bundles import load_ladder
from activities.registry import AgentRefused, Registry
from cli.agent_new import write_agent
from contracts.agent import ApprovalTimes, PinnedAgent
from contracts.canonical import digest_bytes
from contracts.model import ModelChoice, Provider
from policy.ladder import Ladder
from settings import Settings

MID = ModelChoice(name="mid", provider=Provider.SCRIPTED, model="scripted")


@pytest.fixture(scope="module")
def ladder() -> Ladder:
    return load_ladder(Settings().ladder_file)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "agents"
    write_agent(root, "first", "team-one")
    return root


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def pin(root: Path, ladder: Ladder, name: str = "first") -> PinnedAgent:
    return Registry.scan(root, ladder).pin(name, {"plan": MID}, {"key-1": "{}"})


def test_the_projects_agents_all_run(ladder: Ladder) -> None:
    registry = Registry.scan(AGENTS_FOLDER, ladder)
    assert registry.broken == {}
    assert "support_refund" in registry.agents


def test_a_folder_is_an_agent_without_being_listed_anywhere(root: Path, ladder: Ladder) -> None:
    assert set(Registry.scan(root, ladder).agents) == {"first"}
    write_agent(root, "second", "team-two")
    assert set(Registry.scan(root, ladder).agents) == {"first", "second"}


def test_leftovers_of_a_removed_agent_are_no_agent(root: Path, ladder: Ladder) -> None:
    (root / "gone" / "__pycache__").mkdir(parents=True)
    (root / "__pycache__").mkdir()
    (root / ".hidden").mkdir()
    (root / "notes.md").write_text("no folder", "utf-8")
    registry = Registry.scan(root, ladder)
    assert (set(registry.agents), set(registry.broken)) == ({"first"}, set())


def test_a_root_that_is_not_there_has_no_agents(tmp_path: Path, ladder: Ladder) -> None:
    assert Registry.scan(tmp_path / "nowhere", ladder).agents == {}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tools.py", "raise SystemExit(3)"),
        ("tools.py", "1 / 0"),
        ("agent.yaml", "name: ["),
        ("agent.yaml", "\x00"),
        ("policy.cedar", "permit (principal, action, resource);"),
        ("prompt.md", ""),
    ],
)
def test_a_broken_agent_keeps_no_other_from_running(root: Path, ladder: Ladder, file: str, content: str) -> None:
    write_agent(root, "second", "team-two")
    (root / "second" / file).write_text(content, "utf-8")
    registry = Registry.scan(root, ladder)
    assert set(registry.agents) == {"first"}
    assert set(registry.policy_files()) == {"agents/first/policy.cedar"}
    with pytest.raises(AgentRefused, match=f"agents/second/{file}:1: ") as refused:
        registry.pin("second", {"plan": MID}, {})
    assert refused.value.findings


def test_an_unknown_agent_is_refused_with_what_there_is(root: Path, ladder: Ladder) -> None:
    with pytest.raises(AgentRefused, match=r"no agent third\. Agents here: first"):
        pin(root, ladder, "third")


def test_a_role_without_a_model_is_refused(root: Path, ladder: Ladder) -> None:
    with pytest.raises(AgentRefused, match="no model for plan"):
        Registry.scan(root, ladder).pin("first", {}, {})


def test_the_pinned_definition_is_whole(root: Path, ladder: Ladder) -> None:
    replace(root / "first" / "agent.yaml", "fallback:", "approvals: {first.draft_reply: {sla_s: 60}}\nfallback:")
    pinned = pin(root, ladder)
    assert pinned.prompt_digest == digest_bytes((root / "first" / "prompt.md").read_bytes())
    assert [tool.name for tool in pinned.tools] == ["first.read_ticket", "first.draft_reply"]
    assert [schema["name"] for schema in pinned.tool_schemas] == ["first.read_ticket", "first.draft_reply", "finish"]
    assert pinned.limits.micros == 250_000
    assert pinned.tools[0].approval == ApprovalTimes()
    assert pinned.tools[1].approval.sla_s == 60
    assert pinned.models == {"plan": MID}
    assert pinned.vote_keys == {"key-1": "{}"}
    assert PinnedAgent.model_validate_json(pinned.model_dump_json()) == pinned


def test_the_same_folder_gives_the_same_definition_wherever_it_stands(
    root: Path, ladder: Ladder, tmp_path: Path
) -> None:
    shutil.copytree(root, tmp_path / "copy" / "agents")
    assert pin(tmp_path / "copy" / "agents", ladder) == pin(root, ladder)


def test_a_changed_prompt_changes_its_digest_alone(root: Path, ladder: Ladder) -> None:
    before = pin(root, ladder)
    replace(root / "first" / "prompt.md", "friendly", "formal")
    after = pin(root, ladder)
    assert before.prompt_digest != after.prompt_digest
    assert before.tools == after.tools


def test_a_changed_function_changes_the_source_digest_and_runs(root: Path, ladder: Ladder) -> None:
    """The edit keeps the file's size, and happens within a second: caches of byte code would not notice."""
    before = pin(root, ladder).tool("first.draft_reply")
    replace(root / "first" / "tools.py", "timeout_s=15", "timeout_s=16")
    after = pin(root, ladder).tool("first.draft_reply")
    assert before
    assert after
    assert (before.timeout_s, after.timeout_s) == (15, 16)
    assert before.source_digest != after.source_digest
    assert before.schema_digest == after.schema_digest


def test_a_module_beside_the_tools_is_part_of_their_source(root: Path, ladder: Ladder) -> None:
    before = pin(root, ladder).tools[0].source_digest
    (root / "first" / "texts.py").write_text('GREETING = "Hello"\n', "utf-8")
    replace(root / "first" / "tools.py", "import hashlib", "import hashlib\n\nfrom .texts import GREETING as GREETING")
    assert Registry.scan(root, ladder).broken == {}
    assert pin(root, ladder).tools[0].source_digest != before


def test_a_changed_argument_changes_the_schema_digest(root: Path, ladder: Ladder) -> None:
    before = pin(root, ladder).tools[1].schema_digest
    replace(root / "first" / "tools.py", "max_length=4_000", "max_length=3_000")
    assert pin(root, ladder).tools[1].schema_digest != before


def test_a_name_of_another_agents_tool_is_refused(root: Path, ladder: Ladder) -> None:
    write_agent(root, "second", "team-two")
    for file in ("tools.py", "agent.yaml", "policy.cedar", "script.yaml"):
        replace(root / "second" / file, "second.draft_reply", "first.draft_reply")
    registry = Registry.scan(root, ladder)
    assert set(registry.agents) == {"first"}
    assert [finding.rule for finding in registry.broken["second"]] == ["tool-shared-name"]


def test_a_tool_is_shared_by_importing_it(tmp_path: Path, ladder: Ladder) -> None:
    root = tmp_path / "agents"
    for name in ("one", "two"):
        write_agent(root, name, "team")
        replace(root / name / "tools.py", "import hashlib", "import hashlib\nfrom agents.support_refund import tools")
        replace(root / name / "tools.py", "TicketId = ", "read_order = tools.get_status\nTicketId = ")
        replace(root / name / "agent.yaml", f"  - {name}.read_ticket", f"  - {name}.read_ticket\n  - orders.get_status")
    registry = Registry.scan(root, ladder)
    assert registry.broken == {}
    shared = [registry.agents[name].tools["orders.get_status"] for name in ("one", "two")]
    assert shared[0].source == shared[1].source


def test_a_policy_id_of_another_agent_is_refused(root: Path, ladder: Ladder) -> None:
    write_agent(root, "first_own", "team-two")
    replace(root / "first" / "policy.cedar", "first-own-ticket", "first-own-own-ticket")
    registry = Registry.scan(root, ladder)
    assert [finding.rule for finding in registry.broken["first_own"]] == ["policy-id-double"]
