"""The agent of the benchmark, outside the agents that an installation runs."""
