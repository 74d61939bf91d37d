"""Tests of `activities/credentials`."""
