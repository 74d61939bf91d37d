"""The workflows of this software and the runner of their code: the same for workers and for replay."""

from collections.abc import Sequence

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from workflows.agent_run import AgentRun

__all__ = ["WORKFLOWS", "sandbox"]

WORKFLOWS: Sequence[type] = (AgentRun,)
_PASSED_THROUGH = ("contracts", "policy", "pydantic", "pydantic_core", "joserfc", "cryptography", "rfc8785", "cedarpy")
"""Loaded once, outside the sandbox: pure code of ours, and libraries without state. `workflows` itself is sandboxed."""


def sandbox() -> SandboxedWorkflowRunner:
    """The runner of workflow code."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*_PASSED_THROUGH))
