"""Where the command line keeps its session with the approvals service: `countersign approvals sign-in` begins it."""

import json
import os

from contracts.base import Record
from settings import Settings

__all__ = ["KeptSession", "SessionFile"]


class KeptSession(Record):
    """A session, as the approvals service gave it."""

    token: str
    """A secret."""
    tenant: str
    username: str
    display_name: str


class SessionFile:
    """In the state folder, for the operating system's user alone."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.state_dir / "cli-session.json"
        self._web_url = settings.web_url

    def read(self) -> KeptSession | None:
        """The session with this installation, if one was kept."""
        try:
            found = json.loads(self._file.read_bytes())
            return KeptSession.model_validate(found["session"]) if found["web_url"] == self._web_url else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, session: KeptSession) -> None:
        """Keep it instead of any other."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        new = self._file.with_suffix(".new")
        new.unlink(missing_ok=True)
        # Never readable by others, not even for a moment.
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            json.dump({"web_url": self._web_url, "session": session.model_dump(mode="json")}, stream)
        new.replace(self._file)

    def forget(self) -> None:
        """Keep none."""
        self._file.unlink(missing_ok=True)
