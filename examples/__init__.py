"""Systems of record that the example agents act on; they know nothing of Countersign's code."""
