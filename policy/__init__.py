"""Pure decisions: authorization and its approval ladder, limits, loops, provenance, votes."""
