"""Secrets that were planted are searched for in everything that is written."""
