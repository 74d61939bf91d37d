"""The ids of a run's trace: they follow from its own, so every process knows them and nothing carries them."""

import hashlib
from typing import NamedTuple

__all__ = ["RunTrace", "trace_of"]


class RunTrace(NamedTuple):
    """Ids as OpenTelemetry has them."""

    trace_id: int
    """16 bytes."""
    span_id: int
    """8 bytes: of the run's own span, which all others of it lie in."""

    @property
    def name(self) -> str:
        """The trace's id as tools write it: 32 hexadecimal digits."""
        return f"{self.trace_id:032x}"


def trace_of(tenant: str, run_id: str) -> RunTrace:
    """The trace of a run."""
    seed = hashlib.sha256(f"{tenant}/{run_id}".encode()).digest()
    return RunTrace(int.from_bytes(seed[:16]), int.from_bytes(seed[16:24]))
