"""How a tool says that it did not succeed: each kind states what is known about the effect."""

__all__ = ["Ambiguous", "RateLimited", "RefusedBeforeSend", "Rejected", "ToolFault"]


class ToolFault(Exception):  # noqa: N818 - a fault has kinds, each named after what is known
    """A tool did not succeed. Its kind says what is known about the effect."""

    code: str

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class RefusedBeforeSend(ToolFault):
    """Nothing left this process: no effect, may be sent again."""


class Rejected(ToolFault):
    """The service answered that it will not: no effect, sending it again is useless."""

    def __init__(self, message: str, *, code: str, settles_key: bool = True) -> None:
        super().__init__(message, code=code)
        self.settles_key = settles_key
        """Whether it also tells that nothing happened under this key before. A refused credential does not."""


class RateLimited(ToolFault):
    """The service refused for now and said when to come back: no effect."""

    def __init__(self, message: str, *, code: str = "rate_limited", retry_after_s: float) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class Ambiguous(ToolFault):
    """Sent, but the answer is missing or unclear: the effect may have happened."""
