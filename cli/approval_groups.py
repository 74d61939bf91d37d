"""Groups of an account: one that nobody ever asks is misspelt, and its member would wait in vain."""

from collections.abc import Sequence

from activities.bundles import load_ladder, overlay_files, policy_files
from activities.registry import Registry
from cli.output import CliError
from policy.ladder import Ladder
from settings import Settings

__all__ = ["check_groups"]


def check_groups(settings: Settings, groups: Sequence[str]) -> None:
    """Refuse groups that neither decide anything, own an agent, nor stand in a policy.

    Raises:
        CliError: there are such groups, or the ladder cannot be read; it names the groups that decide.
    """
    if not groups:
        return
    try:
        ladder = load_ladder(settings.ladder_file)
    except (OSError, ValueError) as error:
        raise CliError(f"{settings.ladder_file} cannot be used: {error}. Restore it.") from None
    unknown = [group for group in groups if group not in ladder.deciding_groups]
    if unknown:
        unknown = [group for group in unknown if not _is_named(settings, ladder, group)]
    if unknown:
        known = ", ".join(ladder.deciding_groups) or "none"
        raise CliError(f"{', '.join(unknown)}: no request is ever put to such a group. Groups of the ladder: {known}.")


def _is_named(settings: Settings, ladder: Ladder, group: str) -> bool:
    """Whether it owns an agent, so that its members may not decide, or policy texts name it."""
    registry = Registry.scan(settings.agents_dir, ladder)
    if any(loaded.file.owner.casefold() == group.casefold() for loaded in registry.agents.values()):
        return True
    files = (*policy_files(registry).values(), *overlay_files(settings.overlays_dir).values())
    return any(f'"{group}"' in file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file())
