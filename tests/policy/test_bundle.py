"""A bundle is whole or it is not used: each mistake is found with its file and line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.bundles import BASE_POLICY
from policy.bundle import BundleError, base_findings, build_bundle, policies_of, policy_findings
from policy.schema import cedar_schema
from tests.policy.desk import LADDER, PERMIT_ALL, READ, WRITE, bundle_of

pytestmark = pytest.mark.req("P1", "P2")
SCHEMA = cedar_schema([READ, WRITE])
GOOD = '// first line\n@id("desk-a")\n@reason("because; of that")\nforbid (principal, action, resource);\n'


def found(**files: str) -> list[tuple[str, int, str]]:
    return [(item.file, item.line, item.message) for item in policy_findings(files, SCHEMA, LADDER)]


def test_good_policies_have_no_findings() -> None:
    assert found(a=GOOD, base=BASE_POLICY.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("forbid (principal, action, resource) when { context.tier > };", 5, "not valid Cedar"),
        ('@id("desk-b") @reason("r") forbid (principal, action, resource)', 5, "not valid Cedar"),
        ('@id("desk-b") @reason("r")\npermit (principal == ?principal, action, resource);', 5, "templates"),
        ('@id("desk-a") @reason("r") permit (principal, action, resource);', 5, "stands already in file:2"),
        ('@reason("r") permit (principal, action, resource);', 5, "needs an @id"),
        ('@id("Desk A") @reason("r") permit (principal, action, resource);', 5, "needs an @id"),
        ('@id("desk-b\\n") @reason("r") permit (principal, action, resource);', 5, "needs an @id"),
        ('@id("desk-b")\npermit (principal, action, resource);', 5, "needs a @reason"),
        ('@id("desk-b") @reason("  ") permit (principal, action, resource);', 5, "needs a @reason"),
        (
            (
                '@id("desk-b") @reason("r")\nforbid (principal, action, resource)\n'
                'unless { context.granted.contains("the-boss") };'
            ),
            7,
            "no rung 'the-boss'",
        ),
        (
            (
                '@id("desk-b") @reason("r") forbid (principal, action, resource)\n'
                'unless { context.granted.containsAny(["one-lead", "nobody"]) };'
            ),
            6,
            "no rung 'nobody'",
        ),
        (
            '@id("desk-b") @reason("r") forbid (principal, action, resource) when { context.calls + 1 > 3 };',
            5,
            "computes in a forbid",
        ),
        (
            '\n@id("desk-b") @reason("r") forbid (principal, action, resource) when { context.tier > "high" };',
            6,
            "type",
        ),
        (
            '@id("desk-b") @reason("r") forbid (principal, action, resource) when { context.args.price > 1 };',
            5,
            "price",
        ),
        ('@id("desk-b") @reason("r") permit (principal, action == Action::"desk.raed", resource);', 5, "desk.raed"),
        (
            (
                '@id("desk-b") @reason("r") permit (principal, action, resource) '
                'when { context.provenance.key == "trusted" };'
            ),
            5,
            "provenance",
        ),
    ],
)
def test_each_mistake_is_found_with_its_line(text: str, line: int, words: str) -> None:
    findings = found(file=GOOD + text)
    assert findings
    file, where, message = findings[0]
    assert (file, where) == ("file", line)
    assert words in message


def test_an_id_that_two_files_use_is_found_in_the_second() -> None:
    assert found(a=GOOD, b=GOOD) == [("b", 2, "the id 'desk-a' stands already in a:2")]


def test_every_finding_is_told_and_nothing_is_built() -> None:
    with pytest.raises(BundleError) as caught:
        bundle_of(a=GOOD.replace("@reason", "@because"), b="permit (")
    assert [(item.file, item.line) for item in caught.value.findings] == [("a", 2), ("b", 1)]
    assert str(caught.value).startswith("a:2: ")


def test_before_there_is_any_tool_the_base_policy_has_no_findings() -> None:
    assert policy_findings({"base": BASE_POLICY.read_text("utf-8")}, cedar_schema([]), LADDER) == []


def test_a_schema_that_does_not_parse_is_a_finding() -> None:
    with pytest.raises(BundleError, match="schema"):
        build_bundle({"a": GOOD}, "entity;", LADDER)


def test_a_base_policy_without_one_of_its_walls_is_refused() -> None:
    text = BASE_POLICY.read_text("utf-8")
    assert base_findings("base", text) == []
    assert len(base_findings("base", "")) >= 5
    halted = next(policy for policy in policies_of(text) if policy.id == "base-halted")
    cut = "\n".join(text.splitlines()[: halted.line - 1])
    assert "base-halted" in " ".join(item.message for item in base_findings("base", cut))


@pytest.mark.req("P7")
@settings(deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True))
def test_the_digest_changes_with_any_file_and_with_nothing_else(changed: list[int]) -> None:
    files = {"a": GOOD, "b": GOOD.replace("desk-a", "desk-b"), "c": PERMIT_ALL}
    digest = build_bundle(files, SCHEMA, LADDER).digest
    names = sorted(files)
    other = {name: text + ("// " if names.index(name) in changed else "") for name, text in files.items()}
    assert build_bundle(other, SCHEMA, LADDER).digest != digest
    assert build_bundle(dict(reversed(files.items())), SCHEMA, LADDER).digest == digest


@pytest.mark.req("P7")
def test_the_digest_changes_with_schema_ladder_and_file_names() -> None:
    digest = build_bundle({"a": GOOD}, SCHEMA, LADDER).digest
    shorter = LADDER.model_copy(update={"rungs": LADDER.rungs[:1]})
    assert build_bundle({"a": GOOD}, cedar_schema([READ]), LADDER).digest != digest
    assert build_bundle({"a": GOOD}, SCHEMA, shorter).digest != digest
    assert build_bundle({"b": GOOD}, SCHEMA, LADDER).digest != digest
