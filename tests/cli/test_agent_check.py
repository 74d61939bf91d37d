"""Each mistake in an agent's folder is explained by itself, with file and line and what to do."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from activities.finding import Finding
from cli.agent_check import check_agents
from cli.agent_new import write_agent
from settings import Settings

NAME = "invoice_check"
PERMIT = """
@id("invoice-check-draft")
@reason("May draft replies.")
permit (principal is Agent, action == Action::"invoice_check.draft_reply", resource)
when { principal.name == "invoice_check" };
"""
PARTS = """
TICKET = ("Ticket", lambda args: args.ticket_id)
MORE = dict(version=1, effect=Effect.WRITE, owner="me", service="backoffice", resource=TICKET)
"""


@dataclass(frozen=True)
class Mistake:
    """One change that makes a good folder bad, and what must be said about it."""

    rule: str
    file: str
    old: str
    """Text to replace, once; empty: append."""
    new: str
    marker: str
    """The line that must be named holds this: the first such line, with `last:` the last one; empty: line 1."""
    said: str
    """Part of the message or the advice."""
    severity: str = "error"


def tool(name: str, body: str = "...", *, more: str = "", doc: str = '"""Do it."""') -> str:
    return f"""{PARTS}
@tool(name="{NAME}.{name}", **MORE, {more})
async def {name}(args: TicketRef, ctx: ToolContext) -> Draft:
    {doc}
    {body}
"""


YAML = [
    Mistake("yaml-syntax", "agent.yaml", "version: 1", "version: [1", "version: [1", "not YAML"),
    Mistake("yaml-syntax", "agent.yaml", "version: 1", "version: 1\nversion: 2", "version: 2", "duplicate key"),
    Mistake("yaml-schema", "agent.yaml", "version: 1", "version: 0", "version: 0", "greater than or equal to 1"),
    Mistake("yaml-schema", "agent.yaml", "  steps: 12", "  stepz: 12", "stepz", "Did you mean `steps`?"),
    Mistake("yaml-schema", "agent.yaml", "fallback: hand_over", "falback: wait", "falback", "Did you mean `fallback`?"),
    Mistake("yaml-schema", "agent.yaml", 'usd: "0.25"', "usd: 0.25", "usd: 0.25", 'in quotes: "0.25"'),
    Mistake("yaml-schema", "agent.yaml", "owner: unassigned", "", "", "`owner` is missing"),
    Mistake("yaml-schema", "agent.yaml", "  - invoice_check.read_ticket", "  - readTicket", "readTicket", "pattern"),
    Mistake("name", "agent.yaml", "name: invoice_check", "name: invoices", "name: invoices", "the folder's is"),
    Mistake("model-role", "agent.yaml", "{plan: mid}", "{route: mid}", "models:", "no model has the role `plan`"),
    Mistake("model-unknown", "agent.yaml", "{plan: mid}", "{plan: mids}", "models:", "Did you mean `mid`?"),
    Mistake("tool-unknown", "agent.yaml", "", "  - a.b", "  - a.b", "tools.py has no such tool"),
    Mistake("tool-double", "agent.yaml", "", "  - invoice_check.draft_reply", "last:  - invoice", "listed twice"),
    Mistake("steps-unlisted", "agent.yaml", ": [invoice_check.read_ticket]", ": [a.b]", ": [a.b]", "requires `a.b`"),
    Mistake(
        "steps-circle",
        "agent.yaml",
        ": [invoice_check.read_ticket]",
        ": [invoice_check.draft_reply]",
        ": [invoice_check.draft_reply]",
        "requires itself",
    ),
    Mistake(
        "approvals-unlisted", "agent.yaml", "fallback:", "approvals: {a.b: {}}\nfallback:", "approvals:", "not listed"
    ),
    Mistake(
        "forbidden-unlisted",
        "agent.yaml",
        "fallback:",
        "forbidden_after: {invoice_check.draft_reply: [a.b]}\nfallback:",
        "forbidden_after:",
        "not listed",
    ),
    Mistake(
        "forbidden-required",
        "agent.yaml",
        "fallback:",
        "forbidden_after: {invoice_check.draft_reply: [invoice_check.read_ticket]}\nfallback:",
        "forbidden_after:",
        "could never be called",
    ),
    Mistake(
        "forbidden-required",
        "agent.yaml",
        "fallback:",
        "forbidden_after: {invoice_check.draft_reply: [untrusted_content]}\nfallback:",
        "forbidden_after:",
        "after untrusted content",
    ),
    Mistake("postcondition-missing", "agent.yaml", "reply_drafted}", "replied}", "success:", "no function `replied`"),
    Mistake("runbook-missing", "agent.yaml", "README.md", "RUNBOOK.md", "RUNBOOK.md", "missing or empty"),
    Mistake("runbook-missing", "agent.yaml", "README.md", "../../README.md", "../../README.md", "outside the folder"),
]

TOOLS = [
    Mistake("tools-import", "tools.py", "import hashlib", "import hashlibb", "import hashlibb", "No module named"),
    Mistake("tools-import", "tools.py", "import hashlib", "import (", "import (", "not Python"),
    Mistake(
        "tools-import", "tools.py", "ctx: ToolContext) -> Draft:", "ctx: ToolContext):", "last:@tool(", "return value"
    ),
    Mistake("tools-import", "tools.py", "(args: Reply, ctx", "(args, ctx", "last:@tool(", "first parameter"),
    Mistake("tools-import", "tools.py", "    timeout_s=15", "    timeout=15", "last:@tool(", "unexpected keyword"),
    Mistake("tool-docstring", "tools.py", '    """Read the support ticket."""\n', "", "@tool(", "no docstring"),
    Mistake("tool-owner", "tools.py", 'owner="unassigned"', 'owner=" "', "@tool(", "no owner"),
    Mistake("label-unknown", "tools.py", '{"subject"', '{"subjcet"', "@tool(", "labels `subjcet`"),
    Mistake(
        "tool-schema",
        "tools.py",
        "text: str = Field(min_length=1, max_length=4_000)",
        "text: dict[str, str]",
        "last:@tool(",
        "free names",
    ),
    Mistake(
        "compensation-unknown",
        "tools.py",
        "    key_window_s=",
        '    compensation="a.b",\n    key_window_s=',
        "last:@tool(",
        "`a.b`",
    ),
    Mistake(
        "tool-unlisted",
        "tools.py",
        "",
        tool("spare", more="tier=Tier.LOW_IMPACT, natural_key=lambda args: 'x'"),
        "**MORE, t",
        "undoes nothing",
        "warning",
    ),
    Mistake(
        "tool-write-bare",
        "tools.py",
        "    natural_key=lambda args: f",
        "    # natural_key=lambda args: f",
        "last:@tool(",
        "neither a natural key nor a compensation",
        "warning",
    ),
]

POLICY = [
    Mistake("policy-syntax", "policy.cedar", "", "\npermit (principal;\n", "permit (principal;", "not valid Cedar"),
    Mistake("policy-id", "policy.cedar", '@id("invoice-check-own-ticket")\n', "", '@reason("The a', "no @id"),
    Mistake("policy-id", "policy.cedar", "-check-own-ticket", "-own", '@id("invoice-own', "Begin it with"),
    Mistake("policy-id-double", "policy.cedar", "", PERMIT * 2, "last:@id(", "already on line"),
    Mistake(
        "policy-reason",
        "policy.cedar",
        '@reason("The agent may',
        '@note("The agent may',
        '@id("invoice-check-own',
        "no @reason",
    ),
    Mistake(
        "policy-agent",
        "policy.cedar",
        '\nwhen { principal.name == "invoice_check" }\nunless',
        "\nunless",
        '@id("invoice-check-own',
        "not limited to this agent",
    ),
    Mistake(
        "policy-action", "policy.cedar", "", PERMIT.replace("draft_reply", "pay"), '@id("invoice-check-draft', "no tool"
    ),
    Mistake(
        "policy-permit-wide",
        "policy.cedar",
        "",
        PERMIT.replace('== Action::"invoice_check.draft_reply"', 'in Action::"write"'),
        '@id("invoice-check-draft',
        "without naming a tool",
    ),
    Mistake(
        "policy-principal",
        "policy.cedar",
        "",
        PERMIT.replace("principal is Agent", "principal"),
        '@id("invoice-check-draft',
        "agents and users alike",
    ),
    Mistake(
        "policy-agent",
        "policy.cedar",
        "",
        PERMIT.replace("principal is Agent", "principal is User"),
        '@id("invoice-check-draft',
        "context.agent",
    ),
    Mistake(
        "policy-unreachable",
        "policy.cedar",
        "",
        PERMIT.replace('check" }', 'check" && context.tier == 3 }'),
        '@id("invoice-check-draft',
        "never permits",
        "warning",
    ),
    Mistake(
        "policy-arithmetic",
        "policy.cedar",
        "",
        PERMIT.replace("permit", "forbid").replace('check" }', 'check" && context.calls + 1 > 2 }'),
        '@id("invoice-check-draft',
        "computes in a forbid",
    ),
    Mistake(
        "policy-type",
        "policy.cedar",
        "",
        PERMIT.replace('check" }', 'check" && context.args.amount > 2 }'),
        '@id("invoice-check-draft',
        "args.amount",
    ),
    Mistake(
        "policy-type",
        "policy.cedar",
        "",
        PERMIT.replace("permit", "forbid").replace("};", '} unless { context.granted.contains("the-boss") };'),
        "the-boss",
        "no rung 'the-boss'",
    ),
]

FIXTURES = [
    Mistake("script-invalid", "script.yaml", "say:", "sya:", "sya:", "extra inputs"),
    Mistake("script-invalid", "script.yaml", "rules:", "rules: [", "- name: read", "not YAML"),
    Mistake(
        "script-tool", "script.yaml", "- tool: invoice_check.draft_reply", "- tool: a.b", "- tool: a.b", "not listed"
    ),
    Mistake("cases-invalid", "cases.yaml", "cases:", "case:", "", "at least one case"),
    Mistake("cases-invalid", "cases.yaml", "why:", "wyh:", "- name: a-question", "cases.0.metadata.wyh"),
    Mistake("cases-invalid", "cases.yaml", "OutcomeIs:", "OutcomeWas:", "", "OutcomeWas"),
]


def line_of(marker: str, text: str) -> int:
    if not marker:
        return 1
    lines = [number for number, line in enumerate(text.splitlines(), 1) if marker.removeprefix("last:") in line]
    return lines[-1] if marker.startswith("last:") else lines[0]


def settings_for(root: Path) -> Settings:
    return Settings(agents_dir=root)


def check(root: Path) -> list[Finding]:
    return check_agents(settings_for(root))[NAME]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_agent(tmp_path / "agents", NAME, "unassigned")
    return tmp_path / "agents" / NAME


def test_the_scaffold_has_no_mistake(folder: Path) -> None:
    assert check(folder.parent) == []


@pytest.mark.parametrize("mistake", [*YAML, *TOOLS, *POLICY, *FIXTURES], ids=lambda mistake: mistake.rule)
def test_each_mistake_is_explained_with_its_line(folder: Path, mistake: Mistake) -> None:
    path = folder / mistake.file
    text = path.read_text("utf-8")
    assert mistake.old in text
    if mistake.old:
        text = text.replace(mistake.old, mistake.new, 1)
    elif mistake.file == "agent.yaml":
        text = text.replace("\n\nrequired_steps", f"\n{mistake.new}\n\nrequired_steps")
    else:
        text += mistake.new
    path.write_text(text, "utf-8")
    found = check(folder.parent)
    assert [(item.rule, item.severity) for item in found] == [(mistake.rule, mistake.severity)]
    assert found[0].file == f"agents/{NAME}/{mistake.file}"
    assert found[0].line == line_of(mistake.marker, text)
    assert mistake.said in f"{found[0].message} {found[0].advice}"


def test_a_risky_tool_without_a_permit_is_named_where_the_permit_is_missing(folder: Path) -> None:
    path = folder / "tools.py"
    path.write_text(path.read_text("utf-8").replace("Tier.LOW_IMPACT", "Tier.REVERSIBLE"), "utf-8")
    found = {item.rule: item for item in check(folder.parent)}
    assert found.keys() == {"policy-no-permit", "tool-irreversible", "tool-probe"}
    assert found["policy-no-permit"].file == f"agents/{NAME}/policy.cedar"
    assert found["policy-no-permit"].severity == "error"


@pytest.mark.req("B1", "B5")
def test_models_without_a_price_or_a_version_are_named_whichever_provider_answers(folder: Path, tmp_path: Path) -> None:
    models = tmp_path / "models.yaml"
    models.write_text(
        "mid:\n  openai: {model: gpt-5.5}\n  anthropic: {model: claude-nobody-9-9}\n"
        "  compatible: {model: mine}\n  scripted: {model: scripted, fixture: script.yaml}\n"
    )
    settings = Settings(agents_dir=folder.parent, models_file=models)
    found = check_agents(settings)[NAME]
    assert {(item.rule, item.severity) for item in found} == {("model-unpriced", "error"), ("model-alias", "warning")}
    line = line_of("plan: mid", (folder / "agent.yaml").read_text())
    assert {(item.file, item.line) for item in found} == {(f"agents/{NAME}/agent.yaml", line)}
    said = {item.rule: item.message for item in found}
    assert said["model-unpriced"].startswith("`mid` stands for claude-nobody-9-9 of anthropic, of which no price")
    assert said["model-alias"].startswith("`mid` stands for gpt-5.5 of openai, an alias")
    # Of a compatible server nobody knows what it asks, once it is known which it is.
    known = settings.model_copy(update={"openai_base_url": "http://127.0.0.1:1/v1"})
    assert sum("mine of compatible" in item.message for item in check_agents(known)[NAME]) == 1


@pytest.mark.req("P11")
def test_a_tier_below_what_the_rest_of_the_declaration_demands_is_said(folder: Path) -> None:
    path = folder / "tools.py"
    path.write_text(path.read_text("utf-8").replace("    timeout_s=15", "    customer_visible=True,\n    timeout_s=15"))
    found = {item.rule: item for item in check(folder.parent)}
    assert found.keys() == {"tool-tier", "policy-no-permit"}
    assert "somebody outside sees it" in found["tool-tier"].message
    assert "Tier.REVERSIBLE" in found["tool-tier"].advice
    assert {item.severity for item in found.values()} == {"warning"}


@pytest.mark.req("P7")
def test_cases_of_a_policy_that_cannot_be_read_are_said(folder: Path) -> None:
    (folder / "policy_tests.yaml").write_text("cases:\n  - name: one\n    call: a.b\n    expects: allow\n")
    found = check(folder.parent)
    assert [(item.rule, item.file, item.line) for item in found] == [
        ("policy-cases", f"agents/{NAME}/policy_tests.yaml", 2)
    ]


@pytest.mark.parametrize(
    ("file", "rule", "severity"),
    [
        ("agent.yaml", "yaml-missing", "error"),
        ("prompt.md", "prompt-missing", "error"),
        ("policy.cedar", "policy-missing", "error"),
        ("tools.py", "tools-import", "error"),
        ("README.md", "runbook-missing", "error"),
        ("script.yaml", "script-missing", "warning"),
        ("cases.yaml", "cases-missing", "warning"),
    ],
)
def test_a_missing_file_is_named(folder: Path, file: str, rule: str, severity: str) -> None:
    (folder / file).unlink()
    found = check(folder.parent)
    assert [(item.rule, item.severity) for item in found] == [(rule, severity)]


def test_several_mistakes_are_told_at_once(folder: Path) -> None:
    for file, old, new in (
        ("agent.yaml", "version: 1", "version: 0"),
        ("tools.py", "import hashlib", "import hashlibb"),
    ):
        path = folder / file
        path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    (folder / "prompt.md").write_text(" \n", "utf-8")
    assert {item.rule for item in check(folder.parent)} == {"yaml-schema", "tools-import", "prompt-missing"}


def test_agents_of_the_project_have_no_errors() -> None:
    findings = [item for found in check_agents(Settings()).values() for item in found]
    assert [item.in_words() for item in findings if item.severity == "error"] == []
