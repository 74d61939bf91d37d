"""Deterministic orchestration: the run's loop. No I/O, no clock, no random but Temporal's."""
