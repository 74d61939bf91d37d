"""Transcripts of runs, kept by this process so that each message is read from the store and parsed once."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol, Self

from pydantic import TypeAdapter

from contracts.model import Message
from store.model_calls import ModelReservation

__all__ = ["Transcript", "Transcripts"]

_MESSAGES: TypeAdapter[tuple[Message, ...]] = TypeAdapter(tuple[Message, ...])
_MAX_BYTES = 64 * 1024 * 1024
_MAX_RUNS = 1_000


class _Hash(Protocol):
    """What `hashlib` makes."""

    def update(self, data: bytes, /) -> None: ...

    def copy(self) -> Self: ...

    def hexdigest(self) -> str: ...


def _opened() -> _Hash:
    return hashlib.sha256(b"[")


@dataclass(frozen=True)
class Transcript:
    """A run's messages up to one of them. Never changed, only followed by a longer one."""

    seq: int = 0
    """Sequence number of the last message."""
    tokens: int = 0
    """Estimated tokens of all messages."""
    messages: tuple[Message, ...] = ()
    size: int = 0
    """Bytes of their JSON."""
    _hashed: _Hash = field(default_factory=_opened, repr=False, compare=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the messages as one JSON list, as `sha256:<hex>`."""
        whole = self._hashed.copy()
        whole.update(b"]")
        return f"sha256:{whole.hexdigest()}"

    def followed_by(self, reserved: ModelReservation) -> "Transcript":
        """With the messages that a reservation returned: those after this transcript's last."""
        if not reserved.messages:
            return self
        new = reserved.messages[1:-1].encode()
        hashed = self._hashed.copy()
        hashed.update(b"," + new if self.messages else new)
        return Transcript(
            seq=reserved.message_seq,
            tokens=self.tokens + reserved.message_tokens,
            messages=self.messages + _MESSAGES.validate_json(reserved.messages),
            size=self.size + len(new),
            _hashed=hashed,
        )


class Transcripts:
    """The transcripts of the runs seen last. Losing one costs a longer read, nothing else."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Transcript] = OrderedDict()
        self._bytes = 0

    def known(self, tenant: str, run_id: str) -> Transcript:
        """What is known of a run; an empty transcript when nothing is."""
        return self._kept.get((tenant, run_id)) or Transcript()

    def keep(self, tenant: str, run_id: str, transcript: Transcript) -> None:
        """Remember a run's transcript, and forget those unused longest when there are too many."""
        self._forget((tenant, run_id))
        self._kept[tenant, run_id] = transcript
        self._bytes += transcript.size
        while self._bytes > _MAX_BYTES or len(self._kept) > _MAX_RUNS:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: tuple[str, str]) -> None:
        gone = self._kept.pop(key, None)
        self._bytes -= gone.size if gone else 0
