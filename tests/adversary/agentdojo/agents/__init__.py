"""The mounted suites."""
