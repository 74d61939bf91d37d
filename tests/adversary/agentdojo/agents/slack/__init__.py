"""The slack suite as an agent."""
