"""The current policy bundle: read from files, parsed once, swapped whole when a file changes."""

import logging
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from activities.agent_policy import id_prefix, policy_mistakes
from activities.registry import LoadedAgent, Registry
from policy.bundle import (
    Bundle,
    BundleError,
    PolicyFinding,
    base_findings,
    build_bundle,
    overlay_findings,
    overlay_name,
    policies_of,
)
from policy.ladder import Ladder
from policy.schema import cedar_schema
from policy.tier import TierRules

__all__ = ["BASE_POLICY", "Bundles", "load_ladder", "overlay_files", "policy_files", "tiers_of"]

BASE_POLICY = Path(__file__).parent.parent / "policy" / "base.cedar"
_BASE = "policy/base.cedar"
_LADDER = "settings/ladder.yaml"
_TIERS = "settings/tiers.yaml"
_CEDAR = ".cedar"
_TENANT = re.compile(r"[a-z][a-z0-9-]{0,39}")
_SETTLED_S = 2
"""A file changed less than this ago may change again within one tick of its clock: it is read again."""
_logger = logging.getLogger(__name__)

Stamp = tuple[int, int, int, int]
"""Times of last change of content and of entry, size and number of a file; zeros for a file that is not there."""


def load_ladder(file: Path) -> Ladder:
    """The approval ladder.

    Raises:
        ValueError, OSError: the file cannot be used.
    """
    return _ladder_of(file.read_text(encoding="utf-8"))


def policy_files(registry: Registry, base: Path = BASE_POLICY) -> dict[str, Path]:
    """The files whose policies hold everywhere, by the name under which findings and digests show them."""
    files = {_BASE: base}
    for name, agent in registry.agents.items():
        files[_file_of(name)] = agent.folder / "policy.cedar"
    return files


def overlay_files(folder: Path | None) -> dict[str, Path]:
    """The overlay of each tenant that has one, by tenant."""
    try:
        names = sorted(os.listdir(folder)) if folder is not None else []  # noqa: PTH208 - at every decision: 3 µs
    except FileNotFoundError:
        return {}
    return {name.removesuffix(_CEDAR): folder / name for name in names if name.endswith(_CEDAR) and folder is not None}


@dataclass(frozen=True)
class _Held:
    """What the files gave when they were last read."""

    stamps: Mapping[str, Stamp]
    settled: bool
    """Whether none of them had changed just before."""
    texts: Mapping[str, str]
    """Contents by name; files that cannot be read are left out."""
    unread: Mapping[str, str]
    """Why, of those."""
    bundle: Bundle | BundleError


class Bundles:
    """Hands out the current bundle, and never an older one.

    A mistake in the base policy, the ladder, the tiers or the tools' schema is an error at every decision: nothing is
    allowed. A mistake in an agent's policy denies that agent everything, one in an overlay denies its tenant
    everything, and the others go on. Until the files change again.
    """

    def __init__(
        self,
        registry: Registry,
        ladder_file: Path,
        base: Path = BASE_POLICY,
        *,
        tiers_file: Path | None = None,
        overlays_dir: Path | None = None,
    ) -> None:
        self._registry = registry
        self._overlays = overlays_dir
        self._files = {**policy_files(registry, base), _LADDER: ladder_file}
        if tiers_file is not None:
            self._files[_TIERS] = tiers_file
        self._held: _Held | None = None
        self._told: tuple[str, ...] = ()

    def current(self) -> Bundle:
        """The bundle of the files as they are now.

        Raises:
            policy.bundle.BundleError: the base policy, the ladder or the schema is wrong or cannot be read.
        """
        # Stamped before they are read: what changes in between is seen at the next call.
        files = {**self._files, **{overlay_name(key): file for key, file in overlay_files(self._overlays).items()}}
        stamps = {name: _stamp(file) for name, file in files.items()}
        held = self._held
        if held is None or held.stamps != stamps or not held.settled:
            held = self._read(files, stamps, held)
            self._held = held
        if isinstance(held.bundle, BundleError):
            raise held.bundle
        return held.bundle

    def _read(self, files: Mapping[str, Path], stamps: Mapping[str, Stamp], before: _Held | None) -> _Held:
        newest_ns = max(max(stamp[:2]) for stamp in stamps.values())
        settled = abs(time.time_ns() - newest_ns) > _SETTLED_S * 1_000_000_000
        texts: dict[str, str] = {}
        unread: dict[str, str] = {}
        for name, file in files.items():
            try:
                texts[name] = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                unread[name] = f"cannot be read: {error.strerror if isinstance(error, OSError) else error.reason}"
        if before is not None and before.texts == texts and before.unread == unread:
            return _Held(stamps, settled, texts, unread, before.bundle)
        broken: dict[str, str] = {}
        try:
            bundle: Bundle | BundleError = self._build(texts, unread, broken)
        except BundleError as error:
            bundle = error
        self._tell(broken, bundle)
        return _Held(stamps, settled, texts, unread, bundle)

    def _build(self, texts: Mapping[str, str], unread: Mapping[str, str], broken: dict[str, str]) -> Bundle:
        """Build; `broken` receives whom a mistake denies everything, with the mistake."""
        for name in (_BASE, _LADDER, _TIERS):
            if name in unread:
                raise BundleError([PolicyFinding(name, 0, unread[name])])
        where = _LADDER
        try:
            ladder = _ladder_of(texts[_LADDER])
            where = _TIERS
            tiers = tiers_of(texts.get(_TIERS, ""))
            where = "tools"
            schema = cedar_schema(self._registry.tools().values())
        except ValueError as error:
            raise BundleError([PolicyFinding(where, 0, _in_words(error))]) from None
        if missing := base_findings(_BASE, texts[_BASE]):
            raise BundleError(missing)
        owners = _owners(texts, self._registry)
        used = {_BASE: texts[_BASE]}
        for name, agent in self._registry.agents.items():
            file = _file_of(name)
            finding = _finding(agent, file, texts.get(file), unread.get(file, ""), ladder, owners)
            if finding is not None:
                broken[f"agent {name}"] = finding.in_words()
            used[file] = texts[file] if finding is None else _denial(name, finding)
        overlays: dict[str, str] = {}
        for tenant in overlay_files(self._overlays):
            file = overlay_name(tenant)
            if not _TENANT.fullmatch(tenant) or (file not in texts and file not in unread):
                continue  # no tenant's name, or made since the files were listed: the next call sees it
            found = overlay_findings(tenant, texts[file], schema, ladder) if file in texts else []
            found += [PolicyFinding(file, 0, unread[file])] if file in unread else []
            if found:
                broken[f"tenant {tenant}"] = found[0].in_words()
            overlays[tenant] = _tenant_denial(tenant, found[0]) if found else texts[file]
        return build_bundle(used, schema, ladder, overlays=overlays, tiers=tiers)

    def _tell(self, broken: Mapping[str, str], bundle: Bundle | BundleError) -> None:
        """Log what is wrong once for each change of it."""
        told = [f"{who} is denied everything: {words}" for who, words in broken.items()]
        if isinstance(bundle, BundleError):
            told.append(f"nothing is allowed: {bundle}")
        if told == list(self._told):
            return
        for line in told:
            _logger.error("%s. `countersign policy check` says it all.", line)
        if self._told and not told:
            _logger.warning("the policies are whole again: bundle %s", getattr(bundle, "digest", ""))
        self._told = tuple(told)


def _ladder_of(text: str) -> Ladder:
    try:
        return Ladder.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from None


def tiers_of(text: str) -> TierRules:
    """The rules of a text; the usual ones of an empty text.

    Raises:
        ValueError: the text is not usable.
    """
    try:
        return TierRules.model_validate(yaml.safe_load(text) or {})
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from None


def _file_of(agent: str) -> str:
    return f"agents/{agent}/policy.cedar"


def _stamp(file: Path) -> Stamp:
    try:
        status = file.stat()
    except OSError:
        return (0, 0, 0, 0)
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def _finding(
    agent: LoadedAgent, file: str, text: str | None, unread: str, ladder: Ladder, owners: Mapping[str, str]
) -> PolicyFinding | None:
    """The first reason why an agent's policy does not hold; the rules are those that keep an agent from starting."""
    if text is None:
        return PolicyFinding(file, 0, unread)
    for mistake in policy_mistakes(agent.name, text, agent.file.tools, agent.tools, ladder):
        return PolicyFinding(file, mistake.line, mistake.message)
    policies = policies_of(text)
    if agent.policy_text.strip() and not policies:
        # An editor empties a file before it writes it: what narrowed the agent a moment ago must not be gone.
        return PolicyFinding(file, 0, "holds no policy any more")
    for policy in policies:
        if owners.get(policy.id) != file:
            return PolicyFinding(file, policy.line, f"the id {policy.id!r} belongs to {owners[policy.id]}")
    return None


def _owners(texts: Mapping[str, str], registry: Registry) -> dict[str, str]:
    """Whose an id is that several files use: the base policy's, or else the agent's whose name it begins with most.

    So a mistake in one agent's file cannot break the file of another.
    """
    owners: dict[str, str] = {}
    for name in sorted(registry.agents, key=len):
        file, prefix = _file_of(name), id_prefix(name)
        owners |= {policy.id: file for policy in policies_of(texts.get(file, "")) if policy.id.startswith(prefix)}
    return owners | {policy.id: _BASE for policy in policies_of(texts[_BASE])}


def _denial(agent: str, finding: PolicyFinding) -> str:
    """The one policy that stands in for an agent's broken file."""
    return (
        f'@id("{id_prefix(agent)}policy-broken")\n'
        f'@reason("The policy of agent {agent} is broken, so everything is denied to it: {_quotable(finding)}.")\n'
        f'forbid (principal, action, resource) when {{ context.agent == "{agent}" }};\n'
    )


def _tenant_denial(tenant: str, finding: PolicyFinding) -> str:
    """The one policy that stands in for a tenant's broken overlay."""
    return (
        f'@id("{tenant}-overlay-broken")\n'
        f'@reason("The overlay of this tenant is broken, so everything is denied in it: {_quotable(finding)}.")\n'
        "forbid (principal, action, resource);\n"
    )


def _quotable(finding: PolicyFinding) -> str:
    words = "".join(character for character in finding.in_words() if character.isprintable() and character not in '"\\')
    return words[:300]


def _in_words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(str(detail["msg"]).removeprefix("Value error, ") for detail in error.errors())
    return " ".join(str(error).split())
