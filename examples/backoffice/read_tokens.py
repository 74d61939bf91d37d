"""Tokens that were used to read: kept in memory, since a read leaves nothing that a second one would repeat.

A restart forgets them; until its token is over, a read could then be repeated once. Writes are kept in the database.
"""

import threading

from examples.backoffice.errors import unauthorized
from examples.backoffice.settings import CLOCK_LEEWAY_S
from examples.backoffice.tokens import Token

SPENT_MAX = 100_000


class ReadTokens:
    """Ids of tokens, each with the time after which it is refused anyway. Safe to use from several threads."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._spent: dict[str, float] = {}

    def spend(self, token: Token, now_unix_s: float) -> None:
        """Use up a token. Raises ApiError 401 when it was used before, or when too many are in use."""
        with self._lock:
            if token.jti in self._spent:
                raise unauthorized(
                    "token_replayed", "The token was used before; have a new one issued for each attempt."
                )
            if len(self._spent) >= SPENT_MAX:
                self._spent = {jti: dead for jti, dead in self._spent.items() if dead >= now_unix_s}
            if len(self._spent) >= SPENT_MAX:
                # Forgetting the oldest would let it be used again: whoever floods us is slowed down instead.
                raise unauthorized("too_many_tokens", "Too many tokens are in use; wait until some are over.")
            self._spent[token.jti] = token.exp + CLOCK_LEEWAY_S + 1
