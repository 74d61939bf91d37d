"""The one error of this room."""

__all__ = ["SettingsError"]


class SettingsError(Exception):
    """A setting is missing or not usable; the message is one line, names the variable and says what to do."""
