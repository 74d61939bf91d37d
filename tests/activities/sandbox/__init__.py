"""Isolated tools."""
