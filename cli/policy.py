"""`countersign policy`: check the policies, run their cases, explain a decision, show the permission matrix."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from activities.bundles import Bundles, load_ladder
from activities.finding import Finding
from activities.permissions import PAGE_COMMAND, SampleMissing, permission_page, permission_rows
from activities.policy_cases import CaseResult, CasesMistake, run_cases
from activities.policy_check import check_policies
from activities.registry import AgentRefused, Registry
from cli.output import CliError, Exit, JsonOption, console, print_json, print_table, say
from cli.policy_explain import Explanation, decision_of_file, decision_of_run, explained, place_of
from cli.policy_view import print_explanation
from cli.run_source import file_of
from policy.bundle import Bundle, BundleError, policies_of
from settings import Settings
from settings.load import load_settings
from settings.sources import ROOT

__all__ = ["PAGE", "mount"]

PAGE = ROOT / "docs" / "PERMISSIONS.md"
_COLOURS = {"error": "bold red", "warning": "yellow"}


def mount(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Policies: check them, run their cases, explain what they decided.")
    group.command("check")(check)
    group.command("test")(run_tests)
    group.command("explain")(explain)
    group.command("matrix")(matrix)
    app.add_typer(group, name="policy")


def check(as_json: JsonOption = False) -> int:
    """Find every mistake in the policies, cases, overlays, ladder and tiers, with file and line.

    Exit code 1 if there is an error. A warning keeps nothing from running.
    """
    settings = load_settings()
    findings = check_policies(settings)
    bad = any(finding.severity == "error" for finding in findings)
    if as_json:
        print_json(findings)
        return Exit.BAD if bad else Exit.OK
    for finding in findings:
        _print_finding(finding)
    if bad:
        say("errors deny what they are about until they are corrected.")
        return Exit.BAD
    registry, bundle = _bundle(settings)
    agents = ", ".join(sorted(registry.agents)) or "none"
    overlays = f"; overlays: {', '.join(sorted(bundle.overlays))}" if bundle.overlays else ""
    counted = Counter(finding.severity for finding in findings)
    say(f"{len(bundle.texts)} policies; agents: {agents}{overlays}; {counted['warning']} warnings")
    say(f"bundle {bundle.digest}")
    return Exit.OK


def run_tests(
    agent: Annotated[str | None, typer.Argument(help="One agent; without it, all.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Run the cases of policy_tests.yaml under the current policies: no model, no server. Exit code 1 if one fails."""
    registry, bundle = _bundle(load_settings())
    results: list[CaseResult] = []
    for name in [agent] if agent else sorted(registry.agents):
        try:
            results += run_cases(registry, name, bundle)
        except AgentRefused as refused:
            raise CliError(str(refused)) from None
        except CasesMistake as mistake:
            raise CliError(f"agents/{name}/policy_tests.yaml:{mistake.line}: {mistake}. Correct it.") from None
    failed = [result for result in results if not result.passed]
    if as_json:
        print_json([{**result.model_dump(mode="json"), "passed": result.passed} for result in results])
        return Exit.BAD if failed else Exit.OK
    for result in failed:
        _print_failure(result)
    for name in [agent] if agent else sorted(registry.agents):
        own = [result for result in results if result.agent == name]
        wrong = sum(not result.passed for result in own)
        unseen = _undecided(registry, name, own)
        words = f"{len(own)} cases, {wrong} failed" if own else "no cases: write policy_tests.yaml beside its policy"
        say(f"{name}: {words}")
        if own and unseen:
            say(f"  no case is decided by: {', '.join(unseen)}")
    return Exit.BAD if failed else Exit.OK


def explain(
    call: Annotated[
        str,
        typer.Argument(
            metavar="CALL",
            help="RUN/STEP/CALL[/VISIT] of a recorded call, or a FILE with a request, a decision or a history.",
        ),
    ],
    step: Annotated[int, typer.Option(min=1, help="Of a history FILE: the step.")] = 1,
    index: Annotated[int, typer.Option("--call", min=0, help="Of a history FILE: the call within the step.")] = 0,
    current: Annotated[
        bool, typer.Option("--current", help="Decide it again under the current policies and show the difference.")
    ] = False,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant. Default: every tenant.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Say on one screen why a call was allowed, denied or put before people. Exit code 1 if --current differs."""
    settings = load_settings()
    registry, bundle = _bundle(settings)
    file = file_of(call) if call.endswith(".json") or Path(call).is_file() else None
    if file is not None:
        recorded = decision_of_file(file, step, index)
    else:
        recorded = asyncio.run(decision_of_run(settings, call, tenant))
    found: Explanation = explained(settings, registry, bundle, recorded, current=current)
    if as_json:
        print_json(found)
    else:
        print_explanation(console, found)
    return Exit.BAD if current and found.changed else Exit.OK


def matrix(
    write: Annotated[bool, typer.Option("--write", help="Write docs/PERMISSIONS.md.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Show the most that each agent may do: tool, tier, scopes, amount, and what is decided at each stage."""
    registry, bundle = _bundle(load_settings())
    try:
        rows = permission_rows(registry, bundle)
    except (SampleMissing, CasesMistake) as error:
        raise CliError(str(error)) from None
    if as_json:
        print_json(rows)
        return Exit.OK
    page = permission_page(rows, bundle)
    if write:
        changed = not PAGE.is_file() or PAGE.read_text("utf-8") != page
        PAGE.write_text(page, "utf-8")
        say(f"docs/PERMISSIONS.md {'written: review its difference' if changed else 'is up to date'}.")
        return Exit.OK
    for name in dict.fromkeys(row.agent for row in rows):
        own = [row for row in rows if row.agent == name]
        stages = list(own[0].stages)
        print_table(
            ("TOOL", "TIER", "SCOPES", "AMOUNT", *(stage.value.upper() for stage in stages)),
            [
                (
                    *(row.tool, str(int(row.tier)), ",".join(row.scopes)),
                    f"{row.currency} from {row.from_minor}" if row.currency else "",
                    *(row.stages[stage] for stage in stages),
                )
                for row in own
            ],
            title=name,
        )
    if not PAGE.is_file() or PAGE.read_text("utf-8") != page:
        say(f"docs/PERMISSIONS.md is stale: `{PAGE_COMMAND}`.")
    return Exit.OK


def _bundle(settings: Settings) -> tuple[Registry, Bundle]:
    try:
        registry = Registry.scan(settings.agents_dir, load_ladder(settings.ladder_file))
        bundles = Bundles(
            registry, settings.ladder_file, tiers_file=settings.tiers_file, overlays_dir=settings.overlays_dir
        )
        return registry, bundles.current()
    except BundleError as error:
        raise CliError(f"the policies cannot be used: {error}. `countersign policy check` says it all.") from None
    except (OSError, ValueError) as error:
        words = " ".join(str(error).split())
        raise CliError(f"{settings.ladder_file} cannot be used: {words}. Restore it.") from None


def _undecided(registry: Registry, name: str, results: list[CaseResult]) -> list[str]:
    """Policies of an agent that no case names among those that decided."""
    decided = {policy for result in results for policy in result.policies}
    return [policy.id for policy in policies_of(registry.agents[name].policy_text) if policy.id not in decided]


def _print_finding(finding: Finding) -> None:
    place = Text(f"{place_of(finding.file)}:{finding.line}", style="bold")
    severity = Text(finding.severity, style=_COLOURS[finding.severity])
    console.print(Text.assemble(place, ": ", severity, f": {finding.message} [{finding.rule}]"), soft_wrap=True)
    console.print(Text(f"    {finding.advice}", style="dim"), soft_wrap=True)


def _print_failure(result: CaseResult) -> None:
    place = Text(f"{place_of(result.file)}:{result.line}", style="bold")
    console.print(Text.assemble(place, ": ", Text("failed", "bold red"), f": {result.case}"), soft_wrap=True)
    if result.fault:
        words = result.fault
    elif result.missing and result.found == result.expected:
        words = f"{result.call}: {result.found}, but not decided by {', '.join(result.missing)}"
    else:
        words = f"{result.call}: expected {result.expected}, found {result.found}"
    by = f" (decided by {', '.join(result.policies)})" if result.policies else ""
    console.print(Text(f"    {words}{by}", style="dim"), soft_wrap=True)
