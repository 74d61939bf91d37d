"""Credentials of tool calls: minted in the gate for one call, and never in a history, a log or a model's sight."""

from activities.credentials.identity import CREDENTIAL_LIFETIME_S, CallIdentity, Credential, CredentialIssuer
from activities.credentials.issuers import Issuers
from activities.credentials.own import OwnIssuer

__all__ = ["CREDENTIAL_LIFETIME_S", "CallIdentity", "Credential", "CredentialIssuer", "Issuers", "OwnIssuer"]
