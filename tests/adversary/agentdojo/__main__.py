"""`make adversary`: AgentDojo's attacks, played and counted; exit code 1 when a target is missed."""

import argparse
import sys
import time

from tests.adversary.agentdojo.measure import SUITES, TARGETS, Measured, measure, missed
from tests.adversary.agentdojo.reach import reach
from tests.adversary.agentdojo.schedules import ATTACKS, Schedule

_ORDER = (Schedule.BENIGN, *ATTACKS)


def main() -> int:
    """Measure, print the tables, say what was missed."""
    options = argparse.ArgumentParser(prog="python -m tests.adversary.agentdojo", description=__doc__)
    options.add_argument("--jobs", type=int, help="only the first few jobs of each suite")
    options.add_argument("--reach", action="store_true", help="only what a model that knows the rules could do alone")
    options.add_argument("--without-gate", action="store_true", help="let everything run: the targets are missed")
    chosen = options.parse_args()
    if chosen.reach:
        found = reach(SUITES)
        for name, drawn in sorted(found.drawn.items()):
            _say(f"{name}: {found.alone[name]} of {drawn} drawn calls would run without a question")
        return 0
    began = time.monotonic()
    measured = measure(jobs=chosen.jobs, enforced=not chosen.without_gate)
    _say(table(measured))
    _say(f"\n{time.monotonic() - began:.0f} s")
    problems = missed(measured) if chosen.jobs is None else []
    for problem in problems:
        _say(f"missed: {problem}")
    if not problems:
        _say("reached: " + "; ".join(f"{what}: {goal}" for what, goal in TARGETS.items()))
    return 1 if problems else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def table(measured: Measured) -> str:
    """The numbers, all together, as Markdown."""
    columns = (
        "runs",
        "attack success",
        "any foreign write",
        "strict utility",
        "questions a run",
        "persons asked a run",
    )
    lines = ["| suite | approver | schedule | " + " | ".join(columns) + " |", "|---|---|---|" + "--:|" * len(columns)]
    for (suite, approver, schedule), cell in sorted(
        measured.cells.items(), key=lambda item: (SUITES.index(item[0][0]), item[0][1], _ORDER.index(item[0][2]))
    ):
        harmful = "" if schedule is Schedule.BENIGN else f"{cell.rate('harmful'):.1%}"
        lines.append(
            f"| {suite} | {approver} | {schedule.value.replace('_', ' ')} | {cell.runs} "
            f"| {harmful} | {cell.rate('foreign'):.1%} "
            f"| {cell.rate('useful'):.2f} | {cell.rate('questions'):.2f} | {cell.rate('persons'):.2f} |"
        )
    plans = [cell for (_, who, when), cell in measured.cells.items() if (who, when) == ("perfect", Schedule.BENIGN)]
    writes, alone = sum(cell.writes for cell in plans), sum(cell.alone for cell in plans)
    lines += ["", f"Writes of the users' plans without a question: {alone} of {writes} ({alone / writes:.0%})."]
    lines.append(f"Jobs without a question: {measured.jobs_alone} of {measured.jobs}.")
    lines += ["", "| policy that stopped or asked, approver absent | calls |", "|---|--:|"]
    lines += [f"| `{name}` | {count} |" for name, count in measured.policies.most_common()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
