"""The result of a write that did something."""

from dataclasses import dataclass

from examples.backoffice.wire_answers import Answer


@dataclass(frozen=True, slots=True)
class Applied:
    """An effect that commits with its answer."""

    status_code: int
    resource_id: str
    body: Answer
