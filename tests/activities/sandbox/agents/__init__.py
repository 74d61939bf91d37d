"""Agents of these tests."""
