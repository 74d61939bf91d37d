"""Tests of the event intake."""
