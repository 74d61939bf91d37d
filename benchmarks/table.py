"""The tables for people, and the same for machines."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import pairwise

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Comparison, Sample

__all__ = ["as_json", "print_tables"]

_MS = 1_000
_KB = 1_000
_WHERE = ("history", "database rows")


def print_tables(console: Console, found: Sequence[Comparison], concurrency: int) -> None:
    """Print what was measured: time and CPU first, then bytes."""
    costs = _table("AgentRun beside a bare Temporal workflow: medians, and their ratio (least to greatest)", found)
    _add(costs, "CPU a job (ms)", found, lambda sample: sample.cpu.total_s * _MS)
    for part, label in (("worker", "worker"), ("temporal", "Temporal"), ("postgres", "Postgres")):
        _add(costs, f"  {label}", found, _part(part), with_ratio=False)
    _add(costs, "latency alone (ms)", found, lambda sample: sample.alone_s * _MS)
    _add(costs, f"jobs a second, {concurrency} at a time", found, lambda sample: sample.jobs_per_s, digits=1)
    console.print(costs)
    console.print(_bytes(found))
    for fewer, more in pairwise(found):
        added = (more.bytes_per_round(figure, fewer) for figure in (_history_beyond, _database_beyond))
        shown = " and ".join(f"{value:,.0f} bytes of {what}" for value, what in zip(added, _WHERE, strict=True))
        console.print(f"from {fewer.rounds} to {more.rounds} rounds, each adds {shown}, beyond its messages")


def as_json(found: Sequence[Comparison]) -> dict[str, object]:
    """Every sample and the ratios."""
    return {
        str(comparison.rounds): {
            "cpu_ratio": asdict(comparison.ratio(lambda sample: sample.cpu.total_s)),
            "alone_ratio": asdict(comparison.ratio(lambda sample: sample.alone_s)),
            "jobs_per_s_ratio": asdict(comparison.ratio(lambda sample: sample.jobs_per_s)),
            "history_beyond_messages_bytes": comparison.ours(_history_beyond),
            "database_beyond_messages_bytes": comparison.ours(_database_beyond),
            "pairs": [asdict(pair) for pair in comparison.pairs],
        }
        for comparison in found
    }


def _bytes(found: Sequence[Comparison]) -> Table:
    table = _table("What a job leaves behind, in KB; messages are counted once in each place", found)
    _add(table, "history", found, lambda sample: sample.kept.history / _KB, digits=1)
    _add(table, "  beyond the messages", found, lambda s: _history_beyond(s) / _KB, digits=1, with_ratio=False)
    _add(table, "  events", found, lambda sample: sample.kept.events, with_ratio=False)
    _add(table, "database rows", found, lambda sample: sample.kept.database / _KB, digits=1, with_ratio=False)
    _add(table, "  beyond the messages", found, lambda s: _database_beyond(s) / _KB, digits=1, with_ratio=False)
    return table


def _history_beyond(sample: Sample) -> float:
    return sample.kept.history_beyond


def _database_beyond(sample: Sample) -> float:
    return sample.kept.database_beyond


def _part(name: str) -> Callable[[Sample], float]:
    return lambda sample: sample.cpu.seconds[name] * _MS


def _table(title: str, found: Sequence[Comparison]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("rounds")
    for comparison in found:
        table.add_column(f"{comparison.rounds}", justify="right")
        table.add_column("bare", justify="right")
        table.add_column("ratio", justify="right")
    return table


def _add(
    table: Table,
    label: str,
    found: Sequence[Comparison],
    figure: Callable[[Sample], float],
    *,
    digits: int = 0,
    with_ratio: bool = True,
) -> None:
    cells: list[str] = []
    for comparison in found:
        ours, bare = comparison.ours(figure), comparison.bare(figure)
        shown = ""
        if with_ratio:
            ratio = comparison.ratio(figure)
            shown = f"{ratio.median:.2f} ({ratio.least:.2f} to {ratio.greatest:.2f})"
        cells += [f"{ours:,.{digits}f}", f"{bare:,.{digits}f}" if bare else "", shown]
    table.add_row(label, *cells)
