"""Frozen models that cross a boundary: events, definitions, proposals, calls, decisions, votes, outcomes. No I/O."""
