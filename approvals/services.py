"""What the routes need: made once by the process, found by each request."""

from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request

from approvals.assets import Assets
from approvals.live import LiveDesk
from approvals.oidc import OidcDesk
from approvals.passkeys import PasskeyDesk
from approvals.run_line import RunLine
from approvals.signing import VoteSigner
from approvals.throttle import Throttle
from approvals.visitors import SessionDesk
from settings.tenants import TenantsFile
from settings.watched_limits import WatchedLimits
from store.database import Database

__all__ = ["DecidingServices", "Services", "services_of"]


@dataclass(frozen=True, kw_only=True)
class DecidingServices:
    """What it takes to decide a request."""

    database: Database
    """As the application's role: one tenant per transaction."""
    signer: VoteSigner
    runs: RunLine
    passkeys: PasskeyDesk


@dataclass(frozen=True, kw_only=True)
class Services(DecidingServices):
    """The parts of the approvals process."""

    assets: Assets
    desk: SessionDesk
    oidc: OidcDesk
    tries_by_address: Throttle
    tries_by_account: Throttle
    tenants: TenantsFile
    limits: WatchedLimits
    live: LiveDesk
    reviews_file: Path
    """Read anew by each page that needs it."""
    standing_file: Path
    """The same."""
    is_traced: bool
    """Whether a collector is told of runs."""


async def services_of(request: Request) -> Services:
    """The parts, for the request's route. Awaits nothing: FastAPI would send a plain function through a thread."""
    found = request.app.state.services
    assert isinstance(found, Services)  # noqa: S101 - set by create_app before the first request
    return found
