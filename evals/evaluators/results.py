"""How the run ended, what it did to the world, and what it cost."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated

from pydantic import Field, StringConstraints
from pydantic.dataclasses import dataclass

from activities.models.conditions import Condition, Test
from contracts.base import JsonObject
from contracts.outcome import Outcome, OutcomeReason
from evals.evaluators.base import STRICT, OfRun, fields_match
from evals.evidence import Evidence

__all__ = ["CostAtMost", "EffectsInBooks", "ModelCallsAtMost", "OutcomeIs"]

Row = dict[str, Test]
Rows = Annotated[tuple[Row, ...], Field(max_length=50)]
Usd = Annotated[str, StringConstraints(pattern=r"^\d{1,6}(\.\d{1,6})?$")]


@dataclass(repr=False, config=STRICT)
class OutcomeIs(OfRun):
    """The run ended so."""

    outcome: Outcome
    reason: OutcomeReason | None = None

    def problem(self, evidence: Evidence) -> str:
        """See the class."""
        report = evidence.report
        if report is None:
            return "no evidence: no report"
        if report.outcome is not self.outcome or (self.reason is not None and report.reason is not self.reason):
            wanted = f"{self.outcome.value}" + (f" ({self.reason.value})" if self.reason else "")
            return f"{report.outcome.value} ({report.reason.value}), not {wanted}"
        if report.outcome is not Outcome.COMPLETED and report.content.packet is None:
            return f"{report.outcome.value} without a packet: nobody could go on from there"
        return ""


@dataclass(repr=False, config=STRICT)
class EffectsInBooks(OfRun):
    """Exactly this was done to the world: nothing is absent, nothing is there besides."""

    refunds: Rows = ()
    """Tests of the fields of each refund."""
    drafts: Rows = ()
    """Tests of the fields of each drafted reply."""
    tickets: Annotated[dict[str, str], Field(max_length=50)] = Field(default_factory=dict[str, str])
    """New status of every ticket whose status was set; a draft alone does not."""

    def problem(self, evidence: Evidence) -> str:
        """See the class."""
        books = evidence.books
        if books is None:
            return "no evidence: the books were not read"
        problems = [_difference("refund", self.refunds, books.refunds), _difference("draft", self.drafts, books.drafts)]
        if books.tickets != self.tickets:
            problems.append(f"tickets changed: {books.tickets or 'none'}, not {self.tickets or 'none'}")
        explained = len(books.refunds) + len(books.drafts) + len(books.tickets)
        if not any(problems) and books.writes != explained:
            # A ticket that was set twice, a refund that was reversed: seen by its number where not by its result.
            problems.append(f"{books.writes} writes did something, {explained} are explained")
        return "; ".join(filter(None, problems))


@dataclass(repr=False, config=STRICT)
class CostAtMost(OfRun):
    """The model's answers cost no more than this."""

    usd: Usd
    """US dollars, as a decimal string."""

    def problem(self, evidence: Evidence) -> str:
        """See the class."""
        cap_micros = int(Decimal(self.usd) * 1_000_000)
        micros = max(evidence.micros, evidence.report.totals.micros if evidence.report else 0)
        return f"{Decimal(micros) / 1_000_000} USD, more than {self.usd}" if micros > cap_micros else ""


@dataclass(repr=False, config=STRICT)
class ModelCallsAtMost(OfRun):
    """The model was asked no more often than this."""

    times: Annotated[int, Field(ge=1, le=10_000)]

    def problem(self, evidence: Evidence) -> str:
        """See the class."""
        times = max(evidence.turns, evidence.report.totals.model_calls if evidence.report else 0)
        return f"{times} model calls, more than {self.times}" if times > self.times else ""


def _difference(what: str, expected: Sequence[Mapping[str, Condition]], found: Sequence[JsonObject]) -> str:
    """Whether the rows can be paired one to one with what is expected, in the order of the books."""
    if len(expected) != len(found):
        return f"{len(found)} {what}s in the books, not {len(expected)}"
    left = list(expected)
    for row in found:
        fitting = next((tests for tests in left if fields_match(tests, row)), None)
        if fitting is None:
            shown = {name: row[name] for name in sorted({name for tests in left for name in tests} & row.keys())}
            return f"an unexpected {what}: {shown}"
        left.remove(fitting)
    return ""
