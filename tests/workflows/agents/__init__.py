"""Agents that only tests run."""
