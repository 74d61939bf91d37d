"""The `countersign` verbs, one file for each group."""
