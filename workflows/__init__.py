"""Deterministic orchestration: the one loop of a run and the calls it shares."""
