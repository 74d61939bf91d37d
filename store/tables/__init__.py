"""The tables, one noun per file. Every row has its tenant; row-level security is in the migrations."""

from store.tables.access import Account, AgentState, ApiToken, ApiTokenChange, Session, VoteKey
from store.tables.approval import ApprovalRequest, ApprovalTerm, VoteRow
from store.tables.check import CheckRow
from store.tables.delegation import DelegationRow
from store.tables.device import DeviceSignInRow, SessionChangeRow
from store.tables.emergency import EmergencyRow
from store.tables.identity import AgentChange, CredentialKey, Revocation
from store.tables.inbox import Alarm, InboxRow
from store.tables.limits import Breaker, CachedRead, Counter, RateWindow
from store.tables.notices import NoticeRow
from store.tables.passkey import AssertionRow, PasskeyChallengeRow, PasskeyEventRow, PasskeyRow
from store.tables.review import DecoyRow, EffectReviewRow, PacketRatingRow, RequestView, ReviewMark
from store.tables.revision import ArgumentSchemaRow, CallRevisionRow
from store.tables.run import AuditRow, Definition, EffectRow, JournalRow, MessageRow, RunRow, RunState
from store.tables.seen import SeenPageRow
from store.tables.standing import StandingRow, StandingUseRow, StandingVoteRow
from store.tables.stopping import CommandRow, PauseRow, RunRead, Switch, SwitchReceipt
from store.tables.undo import UndoOrderRow

__all__ = [
    "Account",
    "AgentChange",
    "AgentState",
    "Alarm",
    "ApiToken",
    "ApiTokenChange",
    "ApprovalRequest",
    "ApprovalTerm",
    "ArgumentSchemaRow",
    "AssertionRow",
    "AuditRow",
    "Breaker",
    "CachedRead",
    "CallRevisionRow",
    "CheckRow",
    "CommandRow",
    "Counter",
    "CredentialKey",
    "DecoyRow",
    "Definition",
    "DelegationRow",
    "DeviceSignInRow",
    "EffectReviewRow",
    "EffectRow",
    "EmergencyRow",
    "InboxRow",
    "JournalRow",
    "MessageRow",
    "NoticeRow",
    "PacketRatingRow",
    "PasskeyChallengeRow",
    "PasskeyEventRow",
    "PasskeyRow",
    "PauseRow",
    "RateWindow",
    "RequestView",
    "ReviewMark",
    "Revocation",
    "RunRead",
    "RunRow",
    "RunState",
    "SeenPageRow",
    "Session",
    "SessionChangeRow",
    "StandingRow",
    "StandingUseRow",
    "StandingVoteRow",
    "Switch",
    "SwitchReceipt",
    "UndoOrderRow",
    "VoteKey",
    "VoteRow",
]
