"""A bundle: policies of the organisation and of every agent, the generated schema and the ladder, under one digest."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import cedarpy

from contracts.base import JsonObject
from contracts.canonical import digest
from contracts.decision import Reason
from policy.cedar import CedarEngine, PolicyEngine
from policy.ladder import Ladder

__all__ = ["Bundle", "BundleError", "PolicyFinding", "build_bundle", "policy_findings"]

_ID = re.compile(r"^[a-z][a-z0-9-]{2,79}$")


@dataclass(frozen=True)
class PolicyFinding:
    """One mistake in a policy file."""

    file: str
    line: int
    """First line is 1; 0 where the engine does not tell."""
    message: str


class BundleError(ValueError):
    """The policies cannot be used; nothing is allowed until they are corrected."""

    def __init__(self, findings: list[PolicyFinding]) -> None:
        super().__init__("; ".join(f"{item.file}:{item.line}: {item.message}" for item in findings))
        self.findings = findings


@dataclass(frozen=True)
class Bundle:
    """Policies ready to decide with. Immutable; a change of any file makes a new one."""

    digest: str
    engine: PolicyEngine
    ladder: Ladder
    texts: Mapping[str, str]
    """`@reason` by `@id`."""

    def reasons(self, policies: tuple[str, ...]) -> tuple[Reason, ...]:
        """Determining policies with their reasons for people."""
        return tuple(Reason(policy=name, text=self.texts.get(name, "")) for name in policies)


def build_bundle(files: Mapping[str, str], schema: str, ladder: Ladder) -> Bundle:
    """Parse, validate and digest.

    Args:
        files: Cedar text by file name; the name only serves messages and the digest.
        schema: what `policy.schema.cedar_schema` made.
        ladder: every requirement that policies may name.

    Raises:
        BundleError: with every finding.
    """
    findings = policy_findings(files, schema, ladder)
    if findings:
        raise BundleError(findings)
    text = "\n".join(files[name] for name in sorted(files))
    return Bundle(
        digest=digest({"files": dict(files), "schema": schema, "ladder": ladder.model_dump(mode="json")}),
        engine=CedarEngine(text, schema),
        ladder=ladder,
        texts={name: reason for file in files.values() for name, reason, _ in _annotations(file)},
    )


def policy_findings(files: Mapping[str, str], schema: str, ladder: Ladder) -> list[PolicyFinding]:
    """Everything that is wrong with policy files: syntax, types, missing or double ids, reasons, unknown rungs."""
    findings: list[PolicyFinding] = []
    seen: dict[str, str] = {}
    for name in sorted(files):
        text = files[name]
        try:
            found = _annotations(text)
        except ValueError as error:
            findings.append(PolicyFinding(name, _line_of(str(error)), f"not valid Cedar: {_first_line(error)}"))
            continue
        for policy_id, reason, policy in found:
            line = _line_with(text, f'@id("{policy_id}")')
            if not _ID.match(policy_id):
                message = f'policy {policy!r} needs an @id("…") of lower-case letters, digits and dashes'
                findings.append(PolicyFinding(name, line, message))
            elif policy_id in seen:
                findings.append(PolicyFinding(name, line, f"the id {policy_id!r} stands already in {seen[policy_id]}"))
            if not reason:
                findings.append(PolicyFinding(name, line, f'policy {policy_id!r} needs a @reason("…") for people'))
            seen[policy_id] = name
        findings += _unknown_rungs(name, text, ladder)
        checked = cedarpy.validate_policies(text, schema)  # pyright: ignore[reportUnknownMemberType] - untyped dicts
        ids = cast("dict[str, str]", checked.id_annotations_by_policy_id)
        for error in checked.errors:
            policy_id = ids.get(error.policy_id, error.policy_id)
            findings.append(PolicyFinding(name, _line_with(text, f'@id("{policy_id}")'), str(error.error)))
    return findings


def _annotations(text: str) -> list[tuple[str, str, str]]:
    """Id, reason and Cedar's own name of every policy in a text."""
    parsed = cast("JsonObject", json.loads(cedarpy.policies_to_json_str(text)))
    policies = cast("dict[str, JsonObject]", parsed["staticPolicies"])
    rows: list[tuple[str, str, str]] = []
    for name, policy in policies.items():
        notes = cast("dict[str, str | None]", policy.get("annotations") or {})
        rows.append((notes.get("id") or "", notes.get("reason") or "", name))
    return rows


def _unknown_rungs(name: str, text: str, ladder: Ladder) -> list[PolicyFinding]:
    known = {rung.id for rung in ladder.rungs}
    return [
        PolicyFinding(
            name,
            text.count("\n", 0, match.start()) + 1,
            f"no rung {match.group(1)!r} on the ladder: it has {', '.join(sorted(known))}",
        )
        for match in re.finditer(r'context\.granted\.contains\("([^"]*)"\)', text)
        if match.group(1) not in known
    ]


def _line_with(text: str, part: str) -> int:
    position = text.find(part)
    return text.count("\n", 0, position) + 1 if position >= 0 else 0


def _line_of(message: str) -> int:
    match = re.search(r"line (\d+)", message)
    return int(match.group(1)) if match else 0


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
