"""The gate without what decides: everything is permitted, nothing comes first, nothing is kept in, "done" is believed.

The product refuses to run like this (a base policy without its walls is no bundle), so it is put together here. It
shows that the attacks bite: a suite that stays green without the gate would prove nothing.
"""

import shutil
from pathlib import Path
from typing import Any

import yaml

from activities.agent_tools import AGENTS_FOLDER
from activities.bundles import Bundles, load_ladder
from activities.engine import Engine
from policy.bundle import Bundle, build_bundle
from policy.schema import cedar_schema

__all__ = ["gate_off", "open_gate"]

_EVERYTHING = '@id("everything")\n@reason("Everything goes.")\npermit (principal, action, resource);\n'


def gate_off(folder: Path) -> dict[str, Any]:
    """Settings of an installation without required steps, postcondition and output rules."""
    agents = folder / "agents"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(AGENTS_FOLDER / "support_refund", agents / "support_refund", ignore=ignored)
    (agents / "__init__.py").write_text('"""Without anything in the way."""\n')
    file = agents / "support_refund" / "agent.yaml"
    content = yaml.safe_load(file.read_text())
    content.pop("required_steps")
    content["success"] = {"postcondition": "none"}
    file.write_text(yaml.safe_dump(content))
    rules = folder / "output_rules.yaml"
    rules.write_text("rules: []\n")
    return {"agents_dir": agents, "output_rules_file": rules}


def open_gate(engine: Engine) -> None:
    """Put the bundle that permits everything in the place of the current one."""
    engine.bundles = _Everything(engine)


class _Everything(Bundles):
    def __init__(self, engine: Engine) -> None:
        super().__init__(engine.registry, engine.settings.ladder_file)
        schema = cedar_schema(engine.registry.tools().values())
        self._bundle = build_bundle({"all": _EVERYTHING}, schema, load_ladder(engine.settings.ladder_file))

    def current(self) -> Bundle:
        return self._bundle
