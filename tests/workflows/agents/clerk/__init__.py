"""A clerk whose tools meet limits."""
