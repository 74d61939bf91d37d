"""Each agent's own cases hold, every one of its policies decides one of them, and each small mistake fails one."""

import pytest

from activities.bundles import BASE_POLICY, load_ladder, tiers_of
from activities.policy_cases import read_cases, run_cases
from activities.registry import Registry
from policy.bundle import Bundle, BundleError, build_bundle, policies_of
from policy.schema import cedar_schema
from settings import Settings
from tests.policy.mutants import mutants

pytestmark = pytest.mark.req("P1", "P4", "P5", "P7", "I2")
SETTINGS = Settings()
LADDER = load_ladder(SETTINGS.ladder_file)
TIERS = tiers_of(SETTINGS.tiers_file.read_text("utf-8"))
REGISTRY = Registry.scan(SETTINGS.agents_dir, LADDER)
BASE = BASE_POLICY.read_text("utf-8")
AGENTS = sorted(REGISTRY.agents)


def bundle_with(agent: str, text: str) -> Bundle:
    schema = cedar_schema(REGISTRY.agents[agent].tools.values())
    return build_bundle({"base": BASE, "own": text}, schema, LADDER, tiers=TIERS)


@pytest.mark.parametrize("agent", AGENTS)
def test_every_case_is_decided_as_it_says(agent: str) -> None:
    results = list(run_cases(REGISTRY, agent, bundle_with(agent, REGISTRY.agents[agent].policy_text)))
    assert [result for result in results if not result.passed] == []
    own = {policy.id for policy in policies_of(REGISTRY.agents[agent].policy_text)}
    assert own <= {policy for result in results for policy in result.policies}


@pytest.mark.timeout(600)  # a busy machine: 8 s on a quiet one
@pytest.mark.parametrize("agent", AGENTS)
def test_each_small_mistake_in_an_agents_policy_fails_a_case(agent: str) -> None:
    made = list(mutants(REGISTRY.agents[agent].policy_text))
    assert len(made) > 3 * len(policies_of(REGISTRY.agents[agent].policy_text))
    cases = read_cases(REGISTRY.agents[agent].folder)
    unnoticed: list[str] = []
    for mutant in made:
        try:
            bundle = bundle_with(agent, mutant.text)
        except BundleError:
            continue
        if all(result.passed for result in run_cases(REGISTRY, agent, bundle, cases)):
            unnoticed.append(mutant.what)
    assert unnoticed == []
