"""The banking suite as an agent."""
