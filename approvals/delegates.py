"""In whose place somebody decides: their own, or that of an approver who named them delegate."""

from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.vote import Delegated
from policy.votes import seats_of
from store.approvals import StoredRequest
from store.delegations import delegators_of
from store.sessions import StoredSession

__all__ = ["Place", "place_of", "places_for"]

Cursor = AsyncCursor[DictRow]


@dataclass(frozen=True)
class Place:
    """Under what a vote is cast."""

    groups: tuple[str, ...]
    """Groups as which the person decides."""
    delegated: Delegated | None = None
    """For whom; None: for themselves."""
    until: datetime | None = None
    """Of a delegation: its end."""

    def fits(self, request: StoredRequest) -> bool:
        """Whether the request asks these groups, or has been escalated to them. Interested parties fit nowhere."""
        names = {self.delegated.person, self.delegated.approver, *self.groups} if self.delegated else set(self.groups)
        if {name.casefold() for name in names} & {name.casefold() for name in request.interested}:
            return False
        seats = seats_of(self.groups, request.opened().escalations, request.read_at.timestamp())
        return any(need.group in seats for need in request.requirement.needs)


async def place_of(cursor: Cursor, session: StoredSession, delegation_id: str) -> Place | None:
    """The place that a posted decision names, empty for one's own; None: that delegation is not in force."""
    if not delegation_id:
        return Place(session.groups)
    return next((place for place in await _lent(cursor, session) if _id_of(place) == delegation_id), None)


async def places_for(cursor: Cursor, session: StoredSession, request: StoredRequest) -> tuple[Place, ...]:
    """Places from which the person may decide this request now, their own first."""
    places = [Place(session.groups), *await _lent(cursor, session)]
    return tuple(place for place in places if place.fits(request))


async def _lent(cursor: Cursor, session: StoredSession) -> list[Place]:
    return [
        Place(
            account.groups,
            Delegated(
                delegation_id=one.delegation_id,
                approver=account.username,
                person=account.person,
                display_name=account.display_name,
            ),
            one.until_at,
        )
        for one, account in await delegators_of(cursor, session.tenant, session.username)
    ]


def _id_of(place: Place) -> str:
    return place.delegated.delegation_id if place.delegated else ""
