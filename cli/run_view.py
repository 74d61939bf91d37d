"""A run on the terminal: header, timeline, ending."""

import re
from io import StringIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from approvals.characters import plain
from cli.timeline import Line, dollars, fields, quote, span, timeline, when
from contracts.event import EventOrigin
from contracts.model import ModelChoice
from contracts.outcome import EscalationPacket, Outcome
from incidents.story import Story

__all__ = ["OUTCOME_STYLES", "elapsed", "ending", "header", "line_view", "print_story", "show"]

OUTCOME_STYLES = {
    Outcome.COMPLETED.value: "bold green",
    Outcome.ESCALATED.value: "bold yellow",
    Outcome.FAILED_SAFE.value: "bold red",
    Outcome.CANCELLED.value: "bold magenta",
    "open": "bold cyan",
}
_TIME_WIDTH = 9
_MINUTE_S = 60
_WIDEST = 140
"""Longer lines are hard to read, however wide the terminal is."""


def print_story(console: Console, story: Story, *, full: bool = False) -> None:
    """The whole run."""
    show(console, header(story), Text())
    last = ""
    for line in timeline(story, full=full):
        time = elapsed(line, story)
        show(console, line_view(line, time if time != last else ""))
        last = time
    show(console, Text(), ending(story))


def show(console: Console, *parts: RenderableType) -> None:
    """Print; outside a terminal no line carries the spaces that fill a column."""
    if console.is_terminal:
        console.print(*parts, sep="\n", width=min(console.width, _WIDEST))
        return
    text = StringIO()
    Console(file=text, width=_WIDEST, highlight=False).print(*parts, sep="\n")
    console.file.write("".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines()))


def elapsed(line: Line, story: Story) -> str:
    """When, since the run began: from a minute on so short that it fits its column, such as `+7m 48s`."""
    since_s = line.at_s - story.began_s
    since = span(since_s)
    return f"+{since}" if since_s < _MINUTE_S else "+" + re.sub(r"(\d) (\w)\w*", r"\1\2", since)


def header(story: Story) -> RenderableType:
    """What ran, for whom, on which event, and what it took."""
    request, pinned = story.request, story.pinned
    name = f"{story.run_id}"
    agent = (pinned.name if pinned else request.agent if request else "?") + (f" v{pinned.version}" if pinned else "")
    title = (
        Text.assemble((name, "bold"))
        + Text(f"  {agent}", "cyan")
        + Text(f" · {request.tenant if request else '?'}", "dim")
    )
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    if request is not None and isinstance(request.origin, EventOrigin):
        rows.add_row(
            "event",
            plain(story.goal or "not read") + f"  ({plain(request.origin.event_id)} at {request.origin.endpoint})",
        )
    data = story.event.get("data")
    if isinstance(data, dict):
        rows.add_row("data", fields(data))
    if request is not None and request.on_behalf_of:
        rows.add_row("on behalf of", plain(request.on_behalf_of))
    took = f", took {span(story.ended_s - story.began_s)}" if story.ended_s else ", open"
    rows.add_row("began", f"{when(story.began_s)}{took}")
    if pinned is not None:
        rows.add_row("models", plain(_models(pinned.models)))
        rows.add_row(
            "pinned",
            f"prompt {pinned.prompt_digest[7:19]}, definition {(story.definition or '')[7:19]}, "
            f"{len(pinned.tools)} tools",
        )
        limits = pinned.limits
        rows.add_row(
            "limits",
            f"{limits.tokens:,} tokens, {dollars(limits.micros)}, {limits.steps} steps, {limits.tool_calls} calls, "
            f"{span(limits.active_s)} active, {span(limits.age_s)} in all",
        )
    return Group(title, rows)


def _models(models: dict[str, ModelChoice]) -> str:
    """Each model once, with its roles."""
    roles: dict[str, list[str]] = {}
    for role, choice in models.items():
        roles.setdefault(f"{choice.provider.value}:{choice.model}", []).append(role)
    return ", ".join(f"{model} ({', '.join(names)})" for model, names in roles.items())


def line_view(line: Line, time: str) -> RenderableType:
    """One line behind its time; long text goes on under itself."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=_TIME_WIDTH, justify="right", style="dim", no_wrap=True)
    grid.add_column(width=1 + 2 * line.depth, justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(time, Text(line.mark, line.style), line.text)
    return grid


def ending(story: Story) -> RenderableType:
    """The outcome with totals; for a run that a person must carry on, its packet; what does not fit together."""
    parts: list[RenderableType] = [_verdict(story)]
    report = story.report
    if report is not None and report.content.summary:
        parts.append(Padding(quote(report.content.summary), (0, 0, 0, 2)))
    if story.fault is not None:
        parts.append(Padding(Text(f"{story.fault.kind}: {plain(story.fault.message)}", "red"), (0, 0, 0, 2)))
    if report is not None and report.content.packet is not None:
        parts.append(Padding(_packet(report.content.packet), (0, 0, 0, 2)))
    parts.extend(Text(f"! {words}", "bold yellow") for words in (*story.missing, *story.contradictions))
    parts.extend(
        Text(f"! event {finding.event}: {plain(finding.in_words())}", "bold red") for finding in story.findings
    )
    return Group(*parts)


def _verdict(story: Story) -> RenderableType:
    if story.report is None:
        words = "open" if story.ending == "open" else story.ending.replace("_", " ")
        return Rule(
            Text(words, OUTCOME_STYLES["open"] if story.ending == "open" else "bold red"), align="left", style="dim"
        )
    report, totals = story.report, story.report.totals
    style = OUTCOME_STYLES[report.outcome.value]
    facts = [
        f"{totals.steps} steps",
        f"{totals.tool_calls} calls",
        f"{totals.effects} {'effect' if totals.effects == 1 else 'effects'}",
        f"{totals.tokens:,} tokens",
        dollars(totals.micros),
    ]
    facts += [f"{totals.unknown} in doubt"] if totals.unknown else []
    facts += [f"people: {max(round(totals.people_s / 60), 1)} min"] if totals.people_s else []
    title = Text.assemble((report.outcome.value.replace("_", " "), style)) + Text(
        f": {report.reason.value.replace('_', ' ')}", style
    )
    return Rule(title + Text("  " + " · ".join(facts), "dim"), align="left", style="dim")


def _packet(packet: EscalationPacket) -> RenderableType:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    rows.add_row("why", Text(plain(packet.why), "bold"))
    rows.add_row("needed", plain(packet.needed))
    if packet.model_asks:
        rows.add_row("model asks", quote(packet.model_asks))
    for index, words in enumerate(packet.blocked_by):
        rows.add_row("blocked by" if index == 0 else "", plain(words))
    for index, effect in enumerate(packet.effects):
        facts = f"step {effect.get('step')}: {effect.get('tool')} {effect.get('state')}"
        rows.add_row("effects" if index == 0 else "", plain(facts))
    if not packet.effects:
        rows.add_row("effects", "none")
    return rows
