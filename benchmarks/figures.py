"""What was measured, and what it says: medians, paired ratios and their spread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.cost import Cpu
from benchmarks.kept import Kept

__all__ = ["Comparison", "Pair", "Ratio", "Sample"]


@dataclass(frozen=True)
class Sample:
    """One side, one repeat."""

    cpu: Cpu
    """CPU seconds of one job in the batch, by component."""
    jobs_per_s: float
    """In the batch."""
    alone_s: float
    """Median time from start to result of a job that runs alone, in seconds."""
    kept: Kept


@dataclass(frozen=True)
class Pair:
    """Both sides of one repeat, measured one directly after the other."""

    ours: Sample
    bare: Sample


@dataclass(frozen=True)
class Ratio:
    """Ours over bare: median over repeats, and the least and the greatest."""

    median: float
    least: float
    greatest: float


@dataclass(frozen=True)
class Comparison:
    """Everything about jobs of so many rounds."""

    rounds: int
    pairs: Sequence[Pair]

    def ratio(self, figure: Callable[[Sample], float]) -> Ratio:
        """Paired ratio of a figure."""
        found = sorted(figure(pair.ours) / figure(pair.bare) for pair in self.pairs)
        return Ratio(median(found), found[0], found[-1])

    def ours(self, figure: Callable[[Sample], float]) -> float:
        """Median of a figure of ours."""
        return median(figure(pair.ours) for pair in self.pairs)

    def bare(self, figure: Callable[[Sample], float]) -> float:
        """Median of a figure of the bare workflow."""
        return median(figure(pair.bare) for pair in self.pairs)

    def bytes_per_round(self, figure: Callable[[Sample], float], fewer: "Comparison") -> float:
        """What each further round adds of ours, against jobs of fewer rounds."""
        return (self.ours(figure) - fewer.ours(figure)) / (self.rounds - fewer.rounds)
