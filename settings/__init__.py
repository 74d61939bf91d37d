"""The one place that reads the environment: every setting, with its source and its meaning.

`get_settings()` merges, strongest first: `COUNTERSIGN_*` variables, the standard names (`DATABASE_URL`,
`OPENAI_API_KEY`, …), the files of the folder that `COUNTERSIGN_SECRETS_DIR` names, the `.env` file, and the file in
which `countersign up` writes where its servers listen. The ports on which a running stack listens come first of all.
"""

from settings.errors import SettingsError
from settings.load import get_settings
from settings.model import Settings

__all__ = ["Settings", "SettingsError", "get_settings"]
