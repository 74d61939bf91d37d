"""An installation with the clerk alone, whose limits a test chooses."""

import shutil
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from temporalio.client import WorkflowHandle

from contracts.base import JsonObject
from contracts.outcome import RunReport
from store.runs import load_transcript, step_lines
from tests.examples.server import Server
from tests.installation import TENANT, Installation, installed
from tests.workflows.variants import models_with
from workflows.agent_run import AgentRun

__all__ = ["Clerk", "clerks"]

_FOLDER = Path(__file__).parent / "agents" / "clerk"


@dataclass
class Clerk:
    """The installation, and what the clerk's tools did."""

    installation: Installation
    limits_file: Path

    async def run(self, mode: str, **data: str | bool) -> RunReport:
        """A run of the clerk to its end."""
        return await (await self.start(mode, **data)).result()

    async def start(self, mode: str, **data: str | bool) -> WorkflowHandle[AgentRun, RunReport]:
        """A run of the clerk."""
        fields: JsonObject = {"mode": mode, **data}
        return await self.installation.start(fields, agent="clerk", trusted=tuple(fields))

    @property
    def calls(self) -> Counter[str]:
        """How often each tool's function ran."""
        return self._of_tools("CALLS")

    @property
    def fails(self) -> Counter[str]:
        """How often each function is still to fail."""
        return self._of_tools("FAILS")

    def _of_tools(self, name: str) -> Counter[str]:
        tool = self.installation.engine.registry.agents["clerk"].tools["clerk.look"]
        return cast("Counter[str]", vars(sys.modules[tool.function.__module__])[name])

    async def told(self, run_id: str) -> list[str]:
        """What the model was told, but for the event: corrections, notes, results."""
        rows = await load_transcript(self.installation.db, TENANT, run_id)
        contents = [cast("dict[str, Any]", row["content"]) for row in rows[2:]]
        return [str(content["text"]) for content in contents if content["role"] in {"user", "tool"}]

    async def entries(self, run_id: str, kind: str) -> list[dict[str, Any]]:
        """Bodies of the run's audit entries of a kind."""
        rows = await step_lines(self.installation.db, TENANT, run_id, 1_000)
        return [cast("dict[str, Any]", row["body"]) for row in rows if row["kind"] == kind]

    async def row(self, run_id: str) -> dict[str, Any]:
        """The run's row."""
        async with self.installation.db.tenant(TENANT) as cursor:
            await cursor.execute("select * from runs where run_id = %s", (run_id,))
            return await cursor.fetchone() or {}


@asynccontextmanager
async def clerks(
    folder: Path, database_url: str, temporal_address: str, backoffice: Server, credential_key: Path,
    *, limits: Mapping[str, Any] | None = None, of_tenant: Mapping[str, Any] | None = None,
    policy: str = "",
) -> AsyncGenerator[Clerk]:  # fmt: skip
    """Install the clerk.

    `limits` are its own for one run; `of_tenant` is what `limits.yaml` says of the tenant; `policy` is added.
    """
    root = folder / "agents"
    shutil.copytree(_FOLDER, root / "clerk", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "__init__.py").write_text('"""The clerk."""\n')
    file = root / "clerk" / "agent.yaml"
    content = yaml.safe_load(file.read_text())
    content["limits"] |= dict(limits or {})
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    with (root / "clerk" / "policy.cedar").open("a") as own:
        own.write(policy)
    limits_file = folder / "limits.yaml"
    limits_file.write_text(yaml.safe_dump({"tenants": {TENANT: dict(of_tenant or {})}}))
    async with installed(
        folder, database_url, temporal_address, backoffice, credential_key,
        agents_dir=root, models_file=models_with(folder), limits_file=limits_file,
    ) as installation:  # fmt: skip
        made = Clerk(installation, limits_file)
        made.calls.clear()
        made.fails.clear()
        yield made
