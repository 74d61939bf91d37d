"""Tests of the `incidents` room."""
