"""What a case may expect. Each evaluator reads the run's history and the world's books, and fails without evidence."""

from collections.abc import Sequence

from evals.evaluators.approvals import ApprovalAsked, Asked
from evals.evaluators.base import OfRun
from evals.evaluators.calls import ArgumentsMatch, CallOrder, CallPattern, ForbiddenCalls, RequiredCalls
from evals.evaluators.decisions import DecidedCall, Decisions, ExpectedDecision
from evals.evaluators.results import CostAtMost, EffectsInBooks, ModelCallsAtMost, OutcomeIs

__all__ = [
    "EVALUATORS",
    "ApprovalAsked",
    "ArgumentsMatch",
    "Asked",
    "CallOrder",
    "CallPattern",
    "CostAtMost",
    "DecidedCall",
    "Decisions",
    "EffectsInBooks",
    "ExpectedDecision",
    "ForbiddenCalls",
    "ModelCallsAtMost",
    "OfRun",
    "OutcomeIs",
    "RequiredCalls",
]

EVALUATORS: Sequence[type[OfRun]] = (
    RequiredCalls,
    ForbiddenCalls,
    CallOrder,
    ArgumentsMatch,
    Decisions,
    ApprovalAsked,
    OutcomeIs,
    EffectsInBooks,
    CostAtMost,
    ModelCallsAtMost,
)
"""By the names under which a `cases.yaml` uses them."""
