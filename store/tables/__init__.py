"""The tables, one noun per file. Every row has its tenant; row-level security is in the migrations."""

from store.tables.access import Account, AgentState, Session, Switch, VoteKey
from store.tables.approval import ApprovalRequest, VoteRow
from store.tables.identity import AgentChange, CredentialKey, Revocation
from store.tables.inbox import Alarm, InboxRow
from store.tables.limits import Breaker, CachedRead, Counter, RateWindow
from store.tables.run import AuditRow, Definition, EffectRow, JournalRow, MessageRow, RunRow, RunState

__all__ = [
    "Account",
    "AgentChange",
    "AgentState",
    "Alarm",
    "ApprovalRequest",
    "AuditRow",
    "Breaker",
    "CachedRead",
    "Counter",
    "CredentialKey",
    "Definition",
    "EffectRow",
    "InboxRow",
    "JournalRow",
    "MessageRow",
    "RateWindow",
    "Revocation",
    "RunRow",
    "RunState",
    "Session",
    "Switch",
    "VoteKey",
    "VoteRow",
]
