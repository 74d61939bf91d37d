"""An agent with one thing changed, in a folder of its own."""

import shutil
from pathlib import Path
from typing import Any

import yaml

__all__ = ["write_variant"]


def write_variant(source: Path, target: Path, approval_expires_s: int) -> None:
    """Copy an agent's folder; the copy's requests for approval expire after so many seconds."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    file = target / "agent.yaml"
    agent: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    times = {"sla_s": 1, "expires_s": approval_expires_s}
    agent["approvals"] = dict.fromkeys(agent["tools"], times)
    file.write_text(yaml.safe_dump(agent, sort_keys=False), encoding="utf-8")
