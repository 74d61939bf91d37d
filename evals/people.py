"""The people of a case: accounts, and decisions that go the way of the approval form."""

import secrets
from collections.abc import Sequence

from temporalio.client import Client

from approvals.decide import decide
from approvals.passkeys import PasskeyDesk
from approvals.run_line import RunLine
from approvals.services import DecidingServices
from approvals.signing import VoteSigner
from approvals.visitors import SessionDesk
from approvals.wire import Decide
from evals.cases import DeclaredVote
from settings import Settings
from store.accounts import NewAccount, add_account, authenticate
from store.approval_lists import Reader, RequestQuery, list_requests
from store.approvals import find_request
from store.database import Database

__all__ = ["People"]


class People:
    """Signs in as the people of a case and decides as they do: same checks, same key, same signal."""

    def __init__(self, settings: Settings, database: Database, client: Client) -> None:
        self._database = database
        self._signer = VoteSigner.of(settings)
        # Known to this process alone, for accounts that live as long as the stack of the cases.
        self._password = secrets.token_urlsafe(24)

        async def connected() -> Client:
            return client

        self._desk = SessionDesk(database, secrets.token_bytes(32), is_https=False)
        self._services = DecidingServices(
            database=database,
            signer=self._signer,
            runs=RunLine(connected),
            # These people are made of text and have no authenticator, whatever the installation asks of others.
            passkeys=PasskeyDesk(None, is_demanded=False, web_url=settings.web_url),
        )

    async def publish_key(self) -> None:
        """Make the key of the votes known to the runs."""
        await self._signer.publish(self._database)

    async def arrive(self, tenant: str, votes: Sequence[DeclaredVote]) -> None:
        """Give everybody who will decide an account in the tenant."""
        groups = {vote.person: vote.groups for vote in votes}
        for person, belongs in groups.items():
            account = NewAccount(
                tenant=tenant, username=person, person=person, display_name=person.title(), groups=belongs
            )
            async with self._database.tenant(tenant) as cursor:
                await add_account(cursor, account, self._password)

    async def open_requests(self, tenant: str, run_id: str) -> tuple[str, ...]:
        """The requests of a run that wait for people, as their inbox shows them."""
        query = RequestQuery(reader=Reader(), scope="all", search=run_id)
        async with self._database.tenant(tenant) as cursor:
            page = await list_requests(cursor, tenant, query)
        return tuple(line.request_id for line in page.lines if line.run_id == run_id)

    async def decide(self, tenant: str, request_id: str, vote: DeclaredVote) -> str:
        """Decide as a person. Returns what came of it: whether it counts is for the run to say.

        Raises:
            LookupError: the request or the account is gone.
        """
        async with self._database.tenant(tenant) as cursor:
            request = await find_request(cursor, tenant, request_id)
        account = await authenticate(self._database, tenant, vote.person, self._password)
        visitor = await self._desk.find(await self._desk.start(account)) if account else None
        if request is None or visitor is None:
            raise LookupError(f"{vote.person} cannot decide {request_id}: the request or the account is gone")
        outcome = await decide(
            self._services,
            visitor,
            request_id,
            Decide(verdict=vote.verdict, reason=vote.reason, digest=request.digest),
            sight=None,
        )
        return outcome.kind
