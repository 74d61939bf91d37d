"""Reads pages and writes notes, as many rounds as it is told."""
