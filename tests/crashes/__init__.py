"""Kill -9 at every boundary of a run: it goes on, nothing happens twice, nothing is forgotten."""
