"""The current policy bundle: read from files, parsed once, swapped whole when a file changes."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from activities.agent_policy import id_prefix, policy_mistakes
from activities.registry import LoadedAgent, Registry
from policy.bundle import Bundle, BundleError, PolicyFinding, base_findings, build_bundle, policies_of
from policy.ladder import Ladder
from policy.schema import SchemaError, cedar_schema

__all__ = ["BASE_POLICY", "Bundles", "load_ladder", "policy_files"]

BASE_POLICY = Path(__file__).parent.parent / "policy" / "base.cedar"
_BASE = "policy/base.cedar"
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
    """The files whose policies hold, by the name under which findings and digests show them."""
    files = {_BASE: base}
    for name, agent in registry.agents.items():
        files[_file_of(name)] = agent.folder / "policy.cedar"
    return files


@dataclass(frozen=True)
class _Held:
    """What the files gave when they were last read."""

    stamps: Mapping[str, Stamp]
    settled: bool
    """Whether none of them had changed just before."""
    texts: Mapping[str, str]
    """Contents by name; files that cannot be read are left out."""
    bundle: Bundle | BundleError


class Bundles:
    """Hands out the current bundle, and never an older one.

    A mistake in the base policy, the ladder or the tools' schema is an error at every decision: nothing is allowed. A
    mistake in an agent's policy denies that agent everything, and the others go on. Until the files change again.
    """

    def __init__(self, registry: Registry, ladder_file: Path, base: Path = BASE_POLICY) -> None:
        self._registry = registry
        self._ladder = ladder_file
        self._files = policy_files(registry, base)
        self._held: _Held | None = None
        self._told: tuple[str, ...] = ()

    def current(self) -> Bundle:
        """The bundle of the files as they are now.

        Raises:
            policy.bundle.BundleError: the base policy, the ladder or the schema is wrong or cannot be read.
        """
        # Stamped before they are read: what changes in between is seen at the next call.
        stamps = {name: _stamp(file) for name, file in [*self._files.items(), ("", self._ladder)]}
        held = self._held
        if held is None or held.stamps != stamps or not held.settled:
            held = self._read(stamps, held)
            self._held = held
        if isinstance(held.bundle, BundleError):
            raise held.bundle
        return held.bundle

    def _read(self, stamps: Mapping[str, Stamp], before: _Held | None) -> _Held:
        newest_ns = max(max(stamp[:2]) for stamp in stamps.values())
        settled = abs(time.time_ns() - newest_ns) > _SETTLED_S * 1_000_000_000
        texts: dict[str, str] = {}
        unread: dict[str, str] = {}
        for name, file in [*self._files.items(), ("", self._ladder)]:
            try:
                texts[name] = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                unread[name] = f"cannot be read: {error.strerror if isinstance(error, OSError) else error.reason}"
        if before is not None and before.texts == texts:
            return _Held(stamps, settled, texts, before.bundle)
        broken: dict[str, PolicyFinding] = {}
        try:
            bundle: Bundle | BundleError = self._build(texts, unread, broken)
        except BundleError as error:
            bundle = error
        self._tell(broken, bundle)
        return _Held(stamps, settled, texts, bundle)

    def _build(self, texts: Mapping[str, str], unread: Mapping[str, str], broken: dict[str, PolicyFinding]) -> Bundle:
        """Build; `broken` receives the agents whose own policy does not hold, and why."""
        for name, where in ((_BASE, _BASE), ("", str(self._ladder))):
            if name in unread:
                raise BundleError([PolicyFinding(where, 0, unread[name])])
        try:
            ladder = _ladder_of(texts[""])
            schema = cedar_schema(self._registry.tools().values())
        except ValueError as error:
            where = "tools" if isinstance(error, SchemaError) else str(self._ladder)
            raise BundleError([PolicyFinding(where, 0, _in_words(error))]) from None
        if missing := base_findings(_BASE, texts[_BASE]):
            raise BundleError(missing)
        owners = _owners(texts, self._registry)
        used = {_BASE: texts[_BASE]}
        for name, agent in self._registry.agents.items():
            file = _file_of(name)
            finding = _finding(agent, file, texts.get(file), unread.get(file, ""), ladder, owners)
            if finding is not None:
                broken[name] = finding
            used[file] = texts[file] if finding is None else _denial(name, finding)
        return build_bundle(used, schema, ladder)

    def _tell(self, broken: Mapping[str, PolicyFinding], bundle: Bundle | BundleError) -> None:
        """Log what is wrong once for each change of it."""
        told = [f"agent {name} is denied everything: {finding.in_words()}" for name, finding in broken.items()]
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
    """The one policy that stands in for a broken file."""
    words = "".join(character for character in finding.in_words() if character.isprintable() and character not in '"\\')
    return (
        f'@id("{id_prefix(agent)}policy-broken")\n'
        f'@reason("The policy of agent {agent} is broken, so everything is denied to it: {words[:300]}.")\n'
        f'forbid (principal, action, resource) when {{ principal.name == "{agent}" }};\n'
    )


def _in_words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(str(detail["msg"]).removeprefix("Value error, ") for detail in error.errors())
    return " ".join(str(error).split())
