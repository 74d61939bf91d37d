"""What can go wrong with the stack, for the person who started it."""

__all__ = ["StackError"]


class StackError(Exception):
    """The stack cannot start or stop; the message is one line and says what to do."""
