"""The gate: authorization and execution of one tool call as one activity. There is no other path to a tool."""

from activities.gate.gate import Gate

__all__ = ["Gate"]
