"""What the workflow's code asks for while a history is replayed: Temporal compares names and ids, not inputs."""

from dataclasses import dataclass, field
from typing import Any

from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    StartActivityInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)
from temporalio.workflow import ActivityHandle

from contracts.canonical import digest

__all__ = ["Asked", "Watch"]


@dataclass(frozen=True)
class Asked:
    """An activity that the code asked for."""

    name: str
    activity_id: str
    input_digest: str


@dataclass
class Watch(Interceptor):
    """Notes every activity with the digest of its input, and the digest of the workflow's result."""

    asked: list[Asked] = field(default_factory=list[Asked])
    result_digest: str | None = None

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002 - the SDK's name
        """The class that sits in every replayed workflow. Only what is noted leaves the sandbox."""
        del input
        watch = self

        class Outbound(WorkflowOutboundInterceptor):
            def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:  # noqa: A002 - the SDK's name
                watch.note(input)
                return super().start_activity(input)

            def start_local_activity(self, input: StartLocalActivityInput) -> ActivityHandle[Any]:  # noqa: A002 - the SDK's name
                watch.note(input)
                return super().start_local_activity(input)

        class Inbound(WorkflowInboundInterceptor):
            def init(self, outbound: WorkflowOutboundInterceptor) -> None:
                super().init(Outbound(outbound))

            async def execute_workflow(self, input: ExecuteWorkflowInput) -> object:  # noqa: A002 - the SDK's name
                result: object = await super().execute_workflow(input)
                watch.result_digest = digest(result)
                return result

        return Inbound

    def note(self, started: StartActivityInput | StartLocalActivityInput) -> None:
        """Keep what an activity was asked for."""
        argument = started.args[0] if started.args else None
        self.asked.append(Asked(started.activity, started.activity_id or "", digest(argument)))
