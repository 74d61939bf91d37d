"""A bundle: policies of the organisation and of every agent, the generated schema and the ladder, under one digest."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import cedarpy

from contracts.canonical import digest
from contracts.decision import Reason
from policy.cedar import CedarEngine, PolicyEngine
from policy.cedar_text import CedarPolicy, CedarSyntax, cedar_policies
from policy.ladder import Ladder
from policy.rungs import unknown_rungs
from policy.tier import TierRules

__all__ = [
    "Bundle",
    "BundleError",
    "PolicyFinding",
    "base_findings",
    "build_bundle",
    "overlay_findings",
    "overlay_name",
    "policies_of",
    "policy_findings",
]

_ID = re.compile(r"[a-z][a-z0-9-]{2,79}")
_SYNTAX = "not valid Cedar"
_DAY = re.compile(r"\b(calls_today|money_today_minor)\b")
_WALLS = (
    "base-tenant-wall", "base-halted", "base-disabled", "base-tier-ceiling", "base-stage-off", "base-outgoing-block",
    "base-run-expired", "base-forbidden-after",
)  # fmt: skip
"""What must hold whoever writes the rest. A base policy without one of them is a mistake, or a file half written."""
NO_OVERLAYS: Mapping[str, str] = MappingProxyType({})
USUAL_TIERS = TierRules()
_UNLESS_FORBIDDEN = """
@id("overlay-silent")
@reason("The tenant's own policies do not forbid it.")
permit (principal, action, resource);
"""


@dataclass(frozen=True)
class PolicyFinding:
    """One mistake in a policy file."""

    file: str
    line: int
    """First line is 1; 0 where the whole file is meant."""
    message: str

    def in_words(self) -> str:
        """One line: place and what is wrong."""
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


class BundleError(ValueError):
    """The policies cannot be used; nothing is allowed until they are corrected."""

    def __init__(self, findings: list[PolicyFinding]) -> None:
        super().__init__("; ".join(item.in_words() for item in findings))
        self.findings = findings


@dataclass(frozen=True)
class Bundle:
    """Policies ready to decide with. Immutable; a change of any file makes a new one."""

    digest: str
    engine: PolicyEngine
    ladder: Ladder
    texts: Mapping[str, str]
    """`@reason` by `@id`."""
    overlays: Mapping[str, PolicyEngine] = field(default_factory=dict[str, PolicyEngine])
    """By tenant: what narrows the policies there. Allows whatever the tenant's own policies do not forbid."""
    tiers: TierRules = field(default_factory=TierRules)
    """What raises the tier of a call."""
    sees_the_day: bool = True
    """Whether a policy looks at what was counted over the tenant's day: then every call is counted there."""
    permits: frozenset[str] = frozenset()
    """`@id` of every policy that permits; all others forbid, or forbid until people agree."""

    def reasons(self, policies: tuple[str, ...]) -> tuple[Reason, ...]:
        """Determining policies with their reasons for people."""
        return tuple(Reason(policy=name, text=self.texts.get(name, "")) for name in policies)


def build_bundle(
    files: Mapping[str, str],
    schema: str,
    ladder: Ladder,
    *,
    overlays: Mapping[str, str] = NO_OVERLAYS,
    tiers: TierRules = USUAL_TIERS,
) -> Bundle:
    """Parse, validate and digest.

    Args:
        files: Cedar text by file name; the name only serves messages and the digest.
        schema: what `policy.schema.cedar_schema` made.
        ladder: every requirement that policies may name.
        overlays: Cedar text by tenant.
        tiers: what raises the tier of a call.

    Raises:
        BundleError: with every finding.
    """
    findings = policy_findings(files, schema, ladder)
    for tenant, text in overlays.items():
        findings += overlay_findings(tenant, text, schema, ladder)
    if findings:
        raise BundleError(findings)
    text = "\n".join(files[name] for name in sorted(files))
    return Bundle(
        digest=digest(
            {
                "files": dict(files),
                "schema": schema,
                "ladder": ladder.model_dump(mode="json"),
                "overlays": dict(overlays),
                "tiers": tiers.model_dump(mode="json"),
            }
        ),
        engine=CedarEngine(text, schema),
        ladder=ladder,
        texts={
            policy.id: policy.reason for text in (*files.values(), *overlays.values()) for policy in policies_of(text)
        },
        overlays={tenant: CedarEngine(f"{text}\n{_UNLESS_FORBIDDEN}", schema) for tenant, text in overlays.items()},
        tiers=tiers,
        permits=frozenset(
            policy.id for text in files.values() for policy in policies_of(text) if policy.effect == "permit"
        ),
        sees_the_day=any(_DAY.search(text) for text in (*files.values(), *overlays.values())),
    )


def policy_findings(files: Mapping[str, str], schema: str, ladder: Ladder) -> list[PolicyFinding]:
    """Everything that is wrong with policy files: syntax, types, missing or double ids, reasons, unknown rungs.

    Args:
        files: Cedar text by file name.
        schema: what `policy.schema.cedar_schema` made.
        ladder: every requirement that policies may name.
    """
    try:
        parsed_schema = cedarpy.Schema.from_str(schema)
    except ValueError as error:
        return [PolicyFinding("schema", 0, f"the schema that was generated from the tools does not parse: {error}")]
    findings: list[PolicyFinding] = []
    seen: dict[str, str] = {}
    for name in sorted(files):
        found = _file_findings(name, files[name], ladder, seen)
        # Where there is no tool yet, no policy can be about anything.
        if "appliesTo" in schema and not any(finding.message.startswith(_SYNTAX) for finding in found):
            found += _type_findings(name, files[name], parsed_schema)
        findings += sorted(found, key=lambda finding: finding.line)
    return findings


def overlay_name(tenant: str) -> str:
    """The file of a tenant's overlay, as findings show it."""
    return f"settings/overlays/{tenant}.cedar"


def overlay_findings(tenant: str, text: str, schema: str, ladder: Ladder) -> list[PolicyFinding]:
    """Everything that is wrong with a tenant's overlay: as `policy_findings`, and that it only ever narrows."""
    name = overlay_name(tenant)
    findings = policy_findings({name: text}, schema, ladder)
    policies = policies_of(text)
    for policy in policies:
        if policy.effect == "permit":
            words = f"the permit {policy.id!r}: an overlay narrows what others permit. Write a forbid"
            findings.append(PolicyFinding(name, policy.line, words))
        if not policy.id.startswith(f"{tenant}-"):
            words = f"the id {policy.id!r} must begin with {tenant}-, so that it meets no other policy's"
            findings.append(PolicyFinding(name, policy.line, words))
    if not policies and not findings:
        # An editor empties a file before it writes it: what narrowed the tenant a moment ago must not be gone.
        findings.append(PolicyFinding(name, 0, "holds no policy: remove the file where nothing is narrowed"))
    return sorted(findings, key=lambda finding: finding.line)


def base_findings(name: str, text: str) -> list[PolicyFinding]:
    """The walls that an organisation's base policy lacks."""
    forbids = {policy.id for policy in policies_of(text) if policy.effect == "forbid"}
    return [PolicyFinding(name, 0, f"the forbid {wall!r} is missing") for wall in _WALLS if wall not in forbids]


def _file_findings(name: str, text: str, ladder: Ladder, seen: dict[str, str]) -> list[PolicyFinding]:
    """What each policy says of itself. `seen` holds the ids met so far, with their places, and grows."""
    findings: list[PolicyFinding] = []
    for policy in cedar_policies(text):

        def report(message: str, line: int = policy.line) -> None:
            findings.append(PolicyFinding(name, line, message))

        if isinstance(policy, CedarSyntax):
            report(f"{_SYNTAX}: {policy.message}")
            continue
        named = f"policy {policy.id!r}" if policy.id else "the policy"
        if not _ID.fullmatch(policy.id):
            report(f'{named} needs an @id("…") of lower-case letters, digits and dashes')
        elif policy.id in seen:
            report(f"the id {policy.id!r} stands already in {seen[policy.id]}")
        seen.setdefault(policy.id, f"{name}:{policy.line}")
        if not policy.reason.strip():
            report(f'{named} needs a @reason("…") for people')
        if policy.effect == "forbid" and policy.has_arithmetic():
            report(f"{named} computes in a forbid: an overflow is an error, and Cedar skips a forbid that errors")
        for rung in unknown_rungs(policy, ladder):
            known = ", ".join(rung.id for rung in ladder.rungs) or "none"
            where = _line_from(text, policy.line, f'"{rung}"')
            report(f"no rung {rung!r} on the ladder, which {named} names: it has {known}", where)
    return findings


def _type_findings(name: str, text: str, schema: cedarpy.Schema) -> list[PolicyFinding]:
    try:
        checked = cedarpy.validate_policies(text, schema)  # pyright: ignore[reportUnknownMemberType] - untyped dicts
    except ValueError as error:
        # Each policy parses by itself, the file does not: nothing of it is taken.
        return [PolicyFinding(name, 0, f"{_SYNTAX}: {' '.join(str(error).split())}")]
    lines = [part.line for part in cedar_policies(text)]
    findings: list[PolicyFinding] = []
    for error in checked.errors:
        # Cedar names policies by their position in the text.
        position = error.policy_id.removeprefix("policy")
        line = lines[int(position)] if position.isdecimal() and int(position) < len(lines) else 0
        # The line says which policy it is; Cedar's own number for it is in no file.
        message = str(error.error).removeprefix(f"for policy `{error.policy_id}`, ")
        findings.append(PolicyFinding(name, line, message))
    return findings


def _line_from(text: str, first: int, part: str) -> int:
    """The line at or after that one which holds a part; that one itself where none does."""
    lines = enumerate(text.splitlines(), 1)
    return next((number for number, line in lines if number >= first and part in line), first)


def policies_of(text: str) -> list[CedarPolicy]:
    """The policies of a text that parse, in order."""
    return [part for part in cedar_policies(text) if isinstance(part, CedarPolicy)]
