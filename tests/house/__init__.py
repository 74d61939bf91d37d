"""Tests of the house: its rules, its build and its bootstrap."""
