"""The workflows of this software and the runner of their code: the same for workers and for replay."""

from collections.abc import Sequence
from typing import cast

from temporalio.converter import SerializationContext, StorageDriverStoreContext
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker._command_aware_visitor import CommandInfo
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.worker.workflow_sandbox._in_sandbox import InSandbox
from temporalio.worker.workflow_sandbox._runner import _Instance  # pyright: ignore[reportPrivateUsage] - the SDK offers no other place

from workflows.agent_run import AgentRun
from workflows.break_glass import BreakGlass
from workflows.undo_run import UndoRun

__all__ = ["WORKFLOWS", "sandbox"]

WORKFLOWS: Sequence[type] = (AgentRun, UndoRun, BreakGlass)
_PASSED_THROUGH = (
    "contracts", "policy", "pydantic", "pydantic_core", "joserfc", "cryptography", "rfc8785", "cedarpy",
    "workflows.asking", "workflows.ballot", "workflows.calls", "workflows.checking", "workflows.endings",
    "workflows.halts", "workflows.notices", "workflows.overruns", "workflows.stubs",
)  # fmt: skip
"""Loaded once, outside the sandbox: pure code of ours, and libraries without state.

Each run imports its workflow anew in its sandbox, which forbids clocks, random and I/O there. The modules that the
workflow shares with others hold no state, and lint forbids the same things to them (`banned-api` in pyproject.toml):
importing them again for each run costs 10 ms.
"""


class _PlainInstance(_Instance):
    """A sandboxed run whose serialization contexts are asked for without entering the sandbox.

    The SDK enters it up to four times for each payload of a command only to read the command's own fields, in code of
    the SDK. That costs more than all the rest of a step.
    """

    def get_serialization_context(self, command_info: CommandInfo | None) -> SerializationContext | None:
        """See `WorkflowInstance.get_serialization_context`."""
        return self._inside.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: CommandInfo | None) -> StorageDriverStoreContext:
        """See `WorkflowInstance.get_external_store_context`."""
        return self._inside.get_external_store_context(command_info)

    @property
    def _inside(self) -> InSandbox:
        variables = cast("dict[str, object]", self.globals_and_locals)
        return cast("InSandbox", variables["__temporal_in_sandbox"])


class _Runner(SandboxedWorkflowRunner):
    """The SDK's sandbox, with `_PlainInstance`."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """See `SandboxedWorkflowRunner.create_instance`."""
        return _PlainInstance(det, self.runner_class, self.restrictions)


def sandbox() -> SandboxedWorkflowRunner:
    """The runner of workflow code."""
    return _Runner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*_PASSED_THROUGH))
