"""Variants of the refund agent: its folder copied, with another script and other limits."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from activities.agent_tools import AGENTS_FOLDER

__all__ = ["MAY_CIRCLE", "agents_with", "models_with"]

MAY_CIRCLE = {"identical": 1_000, "alternating": 1_000, "errors": 1_000, "no_news": 1_000, "no_progress": 1_000}
"""`limits.loops` of an agent that may go in circles for as long as its other limits last."""


def agents_with(folder: Path, script: Mapping[str, Any] | None = None, **changes: object) -> Path:
    """A folder of agents with the refund agent alone; `changes` replace or extend parts of its `agent.yaml`."""
    root = folder / "agents"
    shutil.copytree(
        AGENTS_FOLDER / "support_refund", root / "support_refund", ignore=shutil.ignore_patterns("__pycache__")
    )
    (root / "__init__.py").write_text('"""Variants."""\n')
    file = root / "support_refund" / "agent.yaml"
    content = yaml.safe_load(file.read_text())
    for name, value in changes.items():
        content[name] = (
            {**content[name], **cast("dict[str, Any]", value)} if isinstance(value, dict) and name in content else value
        )
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    if script is not None:
        (root / "support_refund" / "script.yaml").write_text(yaml.safe_dump(dict(script), sort_keys=False))
    return root


def models_with(folder: Path, **changes: object) -> Path:
    """A model map with the scripted provider alone, for every name that the refund agent uses."""
    entry = {"model": "scripted", "timeout_s": 2, **changes}
    file = folder / "models.yaml"
    file.write_text(yaml.safe_dump({name: {"scripted": entry} for name in ("small", "mid", "large")}))
    return file
