"""Tests of the `activities` room."""
