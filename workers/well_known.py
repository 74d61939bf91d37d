"""Addresses of a worker that services ask, as everybody knows them."""

__all__ = ["EPOCHS_PATH", "JWKS_PATH"]

JWKS_PATH = "/.well-known/jwks.json"
EPOCHS_PATH = "/.well-known/countersign-epochs"
