"""Attacks: a model that does what an attacker wants, against whole agents."""
