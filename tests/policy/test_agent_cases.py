"""Each agent's own cases hold, every one of its policies decides one of them, and each small mistake fails one."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from activities.agent_policy import policy_mistakes
from activities.bundles import BASE_POLICY, load_ladder, tiers_of
from activities.policy_cases import read_cases, run_cases
from activities.registry import LoadedAgent, Registry
from cli.agent_new import write_agent
from policy.bundle import Bundle, BundleError, build_bundle, policies_of
from policy.schema import cedar_schema
from settings import Settings
from tests.policy.mutants import mutants

pytestmark = pytest.mark.req("P1", "P4", "P5", "P7", "I2")
SETTINGS = Settings()
LADDER = load_ladder(SETTINGS.ladder_file)
TIERS = tiers_of(SETTINGS.tiers_file.read_text("utf-8"))
BASE = BASE_POLICY.read_text("utf-8")
NEW = "invoice_check"
"""What `countersign agent new` writes."""
AGENTS = [*sorted(Registry.scan(SETTINGS.agents_dir, LADDER).agents), NEW]


@dataclass(frozen=True)
class Policed:
    """One agent, and what would hold with another text of its policy."""

    registry: Registry
    name: str

    @property
    def agent(self) -> LoadedAgent:
        return self.registry.agents[self.name]

    def bundle_with(self, text: str) -> Bundle:
        schema = cedar_schema(self.agent.tools.values())
        return build_bundle({"base": BASE, "own": text}, schema, LADDER, tiers=TIERS)

    def is_refused(self, text: str) -> bool:
        """Whether a file with this text denies the agent everything: `countersign policy check` says why."""
        return bool(policy_mistakes(self.name, text, self.agent.file.tools, self.agent.tools, LADDER))


@pytest.fixture(params=AGENTS)
def policed(request: pytest.FixtureRequest, tmp_path: Path) -> Policed:
    name: str = request.param
    if name == NEW:
        write_agent(tmp_path / "agents", NEW, "me")
        return Policed(Registry.scan(tmp_path / "agents", LADDER), name)
    return Policed(Registry.scan(SETTINGS.agents_dir, LADDER), name)


def test_every_case_is_decided_as_it_says(policed: Policed) -> None:
    text = policed.agent.policy_text
    results = list(run_cases(policed.registry, policed.name, policed.bundle_with(text)))
    assert [result for result in results if not result.passed] == []
    assert {policy.id for policy in policies_of(text)} <= {policy for result in results for policy in result.policies}


@pytest.mark.timeout(600)  # a busy machine: 8 s on a quiet one
def test_each_small_mistake_in_an_agents_policy_fails_a_case(policed: Policed) -> None:
    text, cases = policed.agent.policy_text, read_cases(policed.agent.folder)
    made = list(mutants(text))
    assert len(made) > 3 * len(policies_of(text))
    unnoticed: list[str] = []
    for mutant in made:
        if policed.is_refused(mutant.text):
            continue
        try:
            bundle = policed.bundle_with(mutant.text)
        except BundleError:
            continue
        if all(result.passed for result in run_cases(policed.registry, policed.name, bundle, cases)):
            unnoticed.append(mutant.what)
    assert unnoticed == []
