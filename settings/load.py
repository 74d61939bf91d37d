"""Read the settings once for each process."""

from functools import lru_cache

from pydantic import ValidationError
from pydantic_settings import SettingsError as SourceError

from settings.errors import SettingsError
from settings.model import Settings
from settings.sources import ENV_PREFIX

__all__ = ["get_settings", "load_settings"]


def load_settings() -> Settings:
    """Read the settings now. Raises SettingsError, one line, which never shows a value (it may be a secret)."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        raise SettingsError(
            f"{ENV_PREFIX}{name.upper()}: {first['msg']}. `countersign config` describes every setting."
        ) from error
    except SourceError as error:
        raise SettingsError(f"{error}. `countersign config` describes every setting.") from error


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read at the first call. `get_settings.cache_clear()` makes the next one read."""
    return load_settings()
