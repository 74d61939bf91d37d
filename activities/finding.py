"""A mistake in an agent's folder: where it is, what is wrong, what to do."""

from typing import Literal

from pydantic import Field

from contracts.base import Record

__all__ = ["Finding"]


class Finding(Record):
    """One mistake. An error keeps the agent from running; a warning does not."""

    agent: str
    """The folder's name."""
    file: str
    """Path from the folder that holds the agents' folder, such as `agents/support_refund/agent.yaml`."""
    line: int = Field(ge=1)
    """Line in that file; 1 where the whole file is meant."""
    severity: Literal["error", "warning"]
    rule: str = Field(pattern=r"^[a-z][a-z-]{0,40}$")
    """Stable name of the kind of mistake."""
    message: str
    """What is wrong."""
    advice: str
    """What to do about it."""

    def in_words(self) -> str:
        """One line: place, what is wrong, what to do."""
        return f"{self.file}:{self.line}: {self.message}. {self.advice}"
