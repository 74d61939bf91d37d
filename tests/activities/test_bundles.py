"""The current bundle is that of the files as they are: swapped whole, and a mistake denies only what it is about."""

import os
import shutil
from pathlib import Path

import pytest
import yaml

from activities.agent_tools import AGENTS_FOLDER
from activities.bundles import BASE_POLICY, Bundles, load_ladder
from activities.policy_cases import NO_MODEL, case_request, read_cases
from activities.registry import Registry
from contracts.decision import Decision
from policy.bundle import BundleError
from policy.case import CaseFacts
from policy.decide import decide
from settings import Settings

pytestmark = pytest.mark.req("P1", "P2", "P7")
AGENT = "support_refund"
SETTINGS = Settings()
STEPS = ["crm.read_ticket", "orders.get_status"]
OVERLAY = (
    '@id("acme-small") @reason("Small ones only.") forbid (principal, action, resource) when { context.tier > 1 };'
)


class Office:
    """A copy of every file that decides."""

    def __init__(self, folder: Path, **changes: object) -> None:
        self.agents = folder / "agents"
        shutil.copytree(AGENTS_FOLDER / AGENT, self.agents / AGENT, ignore=shutil.ignore_patterns("__pycache__"))
        definition = self.agents / AGENT / "agent.yaml"
        required = {"payments.issue_refund": STEPS[1:]}
        definition.write_text(
            yaml.safe_dump({**yaml.safe_load(definition.read_text()), **changes, "required_steps": required})
        )
        self.base = folder / "base.cedar"
        self.ladder = folder / "ladder.yaml"
        self.tiers = folder / "tiers.yaml"
        self.overlays = folder / "overlays"
        self.overlays.mkdir()
        for source, copy in (
            (BASE_POLICY, self.base), (SETTINGS.ladder_file, self.ladder), (SETTINGS.tiers_file, self.tiers),
        ):  # fmt: skip
            shutil.copyfile(source, copy)
        self.registry = Registry.scan(self.agents, load_ladder(self.ladder))
        self.bundles = Bundles(self.registry, self.ladder, self.base, tiers_file=self.tiers, overlays_dir=self.overlays)

    @property
    def policy(self) -> Path:
        return self.agents / AGENT / "policy.cedar"

    def decided(self, **changes: object) -> Decision:
        """About a small refund; `changes` are to the facts."""
        bundle = self.bundles.current()
        agent = self.registry.agents[AGENT]
        pinned = self.registry.pin(AGENT, dict.fromkeys(agent.file.models, NO_MODEL), {})
        cases = read_cases(agent.folder)
        assert cases is not None
        facts = cases.cases.facts.model_dump() | changes
        arguments = cases.cases.arguments["payments.issue_refund"]
        tool = agent.tools["payments.issue_refund"]
        request = case_request(bundle, pinned, tool, arguments, CaseFacts.model_validate(facts), {})
        return decide(bundle, request).decision


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_the_same_files_give_the_same_bundle_and_a_changed_one_another(office: Office) -> None:
    first = office.bundles.current()
    assert office.bundles.current() is first
    office.policy.write_text(office.policy.read_text().replace("> 5000 }", "> 100 }"))
    assert office.bundles.current().digest != first.digest
    assert office.decided().kind == "needs_approval"


def test_an_overlay_holds_from_the_next_decision_on_and_for_its_tenant_alone(office: Office) -> None:
    before = office.bundles.current().digest
    assert office.decided().kind == "allow"
    (office.overlays / "acme.cedar").write_text(OVERLAY)
    denied = office.decided()
    assert denied.kind == "deny"
    assert [reason.policy for reason in denied.reasons] == ["acme-small"]
    assert office.decided(tenant="globex").kind == "allow"
    assert office.bundles.current().digest != before
    (office.overlays / "acme.cedar").unlink()
    assert office.decided().kind == "allow"
    assert office.bundles.current().digest == before


@pytest.mark.parametrize("text", ["forbid (", "", '@id("acme-p") @reason("r") permit (principal, action, resource);'])
def test_a_broken_overlay_denies_its_tenant_everything_and_no_other(office: Office, text: str) -> None:
    (office.overlays / "acme.cedar").write_text(text)
    denied = office.decided()
    assert denied.kind == "deny"
    assert [reason.policy for reason in denied.reasons] == ["acme-overlay-broken"]
    assert office.decided(tenant="globex").kind == "allow"


def test_an_overlay_of_nobody_disturbs_nobody(office: Office) -> None:
    (office.overlays / "Not A Tenant.cedar").write_text("forbid (")
    assert office.decided().kind == "allow"


def test_a_broken_agents_file_denies_it_everything(office: Office) -> None:
    office.policy.write_text("permit (")
    denied = office.decided()
    assert denied.kind == "deny"
    assert [reason.policy for reason in denied.reasons] == ["support-refund-policy-broken"]


@pytest.mark.parametrize("part", ["base", "ladder", "tiers"])
def test_without_what_all_rest_on_nothing_is_decided(office: Office, part: str) -> None:
    file: Path = getattr(office, part)
    text = file.read_text()
    file.write_text("{")
    with pytest.raises(BundleError, match=part):
        office.bundles.current()
    file.unlink()
    with pytest.raises(BundleError, match=part):
        office.bundles.current()
    file.write_text(text)
    assert office.decided().kind == "allow"


@pytest.mark.req("P11")
def test_a_lower_threshold_raises_the_tier_of_the_next_call(office: Office) -> None:
    assert office.decided().kind == "allow"
    office.tiers.write_text(office.tiers.read_text().replace("high_impact_minor: 100000", "high_impact_minor: 2000"))
    asked = office.decided()
    assert asked.kind == "needs_approval"
    assert "base-high-impact" in [reason.policy for reason in asked.reasons]


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_read(office: Office) -> None:
    first = office.bundles.current()
    status = office.policy.stat()
    text = office.policy.read_text()
    other = office.policy.with_suffix(".new")
    other.write_text(text.replace("50.00 EUR", "51.00 EUR"))
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(office.policy)
    assert office.bundles.current().digest != first.digest


@pytest.mark.req("P5")
@pytest.mark.parametrize(
    ("after", "facts", "kind"),
    [
        ("tickets.reply_draft", {"completed": [*STEPS, "tickets.reply_draft"]}, "deny"),
        ("tickets.reply_draft", {"completed": STEPS}, "allow"),
        ("untrusted_content", {"tainted": True}, "deny"),
        ("untrusted_content", {"tainted": False}, "allow"),
        ("payments.issue_refund", {"completed": [*STEPS, "payments.issue_refund"]}, "deny"),
    ],
)
def test_a_forbidden_combination_is_denied_whoever_approves(
    tmp_path: Path, after: str, facts: dict[str, object], kind: str
) -> None:
    office = Office(tmp_path, forbidden_after={"payments.issue_refund": [after]})
    decision = office.decided(**facts)
    assert decision.kind == kind
    if decision.kind == "deny":
        assert [reason.policy for reason in decision.reasons] == ["base-forbidden-after"]
