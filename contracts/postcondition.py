"""What an agent's postcondition is asked about: the facts of a run at its end, recorded, not claimed by the model.

A postcondition is a plain function in the agent's `tools.py`, named in its `agent.yaml`:
`def refund_or_reply_recorded(facts: RunFacts) -> bool`. It is pure: no I/O, no clock.
"""

from collections.abc import Callable

from contracts.base import JsonObject, Record, ToolName
from contracts.call import EffectState

__all__ = ["EffectFact", "Postcondition", "RunFacts"]


class EffectFact(Record):
    """A write of the run, as the effects ledger has it."""

    tool: ToolName
    state: EffectState
    arguments: JsonObject
    """Canonical arguments."""
    output: JsonObject | None = None
    """The tool's output, where it succeeded."""


class RunFacts(Record):
    """What is known of a run when it ends."""

    event: JsonObject
    """Data of the event that started it."""
    effects: tuple[EffectFact, ...] = ()
    """Every write that was admitted, in the order of admission."""

    def succeeded(self, tool: str) -> tuple[EffectFact, ...]:
        """The writes of a tool that reached the outside."""
        return tuple(fact for fact in self.effects if fact.tool == tool and fact.state is EffectState.SUCCEEDED)


Postcondition = Callable[[RunFacts], bool]
"""True when what the run was for has been achieved."""
