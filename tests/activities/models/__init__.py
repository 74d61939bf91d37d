"""The model providers, on the wire and off it."""
