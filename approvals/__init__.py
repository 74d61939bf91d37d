"""The web service where people decide: form, inbox and signed votes."""
