"""Tests of the `workflows` room."""
