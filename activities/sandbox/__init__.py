"""Isolated tools: each call in a process of its own that holds nothing and reaches nothing but its declared service."""

from activities.sandbox.boxes import Boxes

__all__ = ["Boxes"]
