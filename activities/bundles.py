"""The current policy bundle: read from files, parsed once, swapped whole when a file changes."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from activities.registry import Registry
from policy.bundle import Bundle, build_bundle
from policy.ladder import Ladder
from policy.schema import cedar_schema

__all__ = ["Bundles", "load_ladder", "policy_files"]

BASE_POLICY = Path(__file__).parent.parent / "policy" / "base.cedar"


def load_ladder(file: Path) -> Ladder:
    """The approval ladder.

    Raises:
        pydantic.ValidationError, OSError: the file cannot be used.
    """
    return Ladder.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))


def policy_files(registry: Registry) -> dict[str, Path]:
    """The files whose policies hold, by the name under which findings and digests show them."""
    files = {"policy/base.cedar": BASE_POLICY}
    for name, agent in registry.agents.items():
        files[f"agents/{name}/policy.cedar"] = agent.folder / "policy.cedar"
    return files


class Bundles:
    """Hands out the current bundle. A bundle that does not load is an error at every decision: nothing is allowed."""

    def __init__(self, registry: Registry, ladder_file: Path) -> None:
        self._registry = registry
        self._ladder_file = ladder_file
        self._schema = cedar_schema(tool for agent in registry.agents.values() for tool in agent.tools.values())
        self._files = policy_files(registry)
        self._stamp: Mapping[str, tuple[int, int]] = {}
        self._bundle: Bundle | None = None

    def current(self) -> Bundle:
        """The bundle of the files as they are now.

        Raises:
            policy.bundle.BundleError: a policy is wrong.
            OSError, pydantic.ValidationError: a file is missing, or the ladder is wrong.
        """
        stamp = self._stamp_now()
        if self._bundle is None or stamp != self._stamp:
            self._bundle = None
            texts = {name: file.read_text(encoding="utf-8") for name, file in self._files.items()}
            self._bundle = build_bundle(texts, self._schema, load_ladder(self._ladder_file))
            self._stamp = stamp
        return self._bundle

    def _stamp_now(self) -> dict[str, tuple[int, int]]:
        """Size and time of every file: a change of either makes a new bundle. A missing file raises."""
        stamps: dict[str, tuple[int, int]] = {}
        for name, file in [*self._files.items(), ("ladder", self._ladder_file)]:
            status = file.stat()
            stamps[name] = (status.st_mtime_ns, status.st_size)
        return stamps
