"""Open pages hear that something changed, and then read themselves again: server-sent events that carry no content.

One connection a process listens to the store, whoever looks. A stream is held to its session: it ends with it, here at
once and for whatever ended it elsewhere within `CHECK_EVERY_S`.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal

import psycopg

from approvals.visitors import SessionDesk, Visitor
from store.database import Database, StoreDown
from store.live import changed_requests

__all__ = ["CHECK_EVERY_S", "LiveDesk", "Stream", "TooManyStreams"]

CHECK_EVERY_S = 15.0
"""How often all sessions that listen are looked up: one query a tenant."""
_PER_SESSION = 4  # a browser opens six connections to a site at most, and needs some for pages
_TOTAL = 1_000
_LIFETIME_S = 600.0
_HEARTBEAT_S = 15.0
_GAP_S = 1.0
_LONGEST_WAIT_S = 30.0
_LOG = logging.getLogger("approvals")
End = Literal["", "signed_out", "replaced", "closing"]


class TooManyStreams(Exception):  # noqa: N818 - what the caller knows then, said plainly
    """This process serves as many streams as it may: the page works without."""


class Stream:
    """What one open page hears."""

    def __init__(self, visitor: Visitor, request_id: str) -> None:
        self.tenant = visitor.tenant
        self.token = visitor.token
        self.request_id = request_id
        """Empty: every request of the tenant."""
        self._woken = asyncio.Event()
        self._end: End = ""

    def tell(self) -> None:
        """Something changed. Many changes at once are one."""
        self._woken.set()

    def end(self, why: End) -> None:
        """Close it; the first reason stays."""
        self._end = self._end or why
        self._woken.set()

    async def events(self) -> AsyncGenerator[str]:
        """The stream as it goes over the wire, at most `_LIFETIME_S` long: browsers come back by themselves."""
        loop = asyncio.get_running_loop()
        over_s = loop.time() + _LIFETIME_S
        yield "retry: 3000\n\n"
        while loop.time() < over_s:
            try:
                async with asyncio.timeout(_HEARTBEAT_S):
                    await self._woken.wait()
            except TimeoutError:
                yield ":\n\n"  # finds out whether anybody still reads
                continue
            if self._end:
                yield f"event: end\ndata: {self._end}\n\n"
                return
            self._woken.clear()
            yield "event: changed\ndata: 1\n\n"
            await asyncio.sleep(_GAP_S)


class LiveDesk:
    """All streams of the process."""

    def __init__(self, database: Database, sessions: SessionDesk) -> None:
        self._database = database
        self._sessions = sessions
        self._by_subject: defaultdict[tuple[str, str], list[Stream]] = defaultdict(list)
        self._by_token: defaultdict[str, list[Stream]] = defaultdict(list)
        self._total = 0
        self._is_closing = False

    def open(self, visitor: Visitor, request_id: str = "") -> Stream:
        """A stream for a page that the visitor may see. One too many of a session ends its oldest.

        Raises:
            TooManyStreams: of everybody together.
        """
        if self._total >= _TOTAL or self._is_closing:
            raise TooManyStreams
        stream = Stream(visitor, request_id)
        own = self._by_token[stream.token]
        if len(own) >= _PER_SESSION:
            oldest = own[0]
            oldest.end("replaced")
            self._forget(oldest)
        self._by_token[stream.token].append(stream)
        self._by_subject[stream.tenant, request_id].append(stream)
        self._total += 1
        return stream

    async def serve(self, stream: Stream) -> AsyncGenerator[str]:
        """Its events, until either side ends it."""
        try:
            async with aclosing(stream.events()) as events:
                async for event in events:
                    yield event
        finally:
            self._forget(stream)

    def end_session(self, token: str | None) -> None:
        """Close all streams of a session that ends."""
        for stream in self._by_token.get(token or "", ()):
            stream.end("signed_out")

    def close(self) -> None:
        """Close everything, so that the process can end."""
        self._is_closing = True
        for streams in self._by_token.values():
            for stream in streams:
                stream.end("closing")

    async def run(self) -> None:
        """Listen and check until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._check())

    def _forget(self, stream: Stream) -> None:
        own = self._by_token.get(stream.token, [])
        if stream not in own:
            return
        own.remove(stream)
        if not own:
            del self._by_token[stream.token]
        subject = (stream.tenant, stream.request_id)
        self._by_subject[subject].remove(stream)
        if not self._by_subject[subject]:
            del self._by_subject[subject]
        self._total -= 1

    async def _listen(self) -> None:
        wait_s = 1.0
        while True:
            try:
                async with aclosing(changed_requests(self._database)) as changes:
                    async for change in changes:
                        wait_s = 1.0
                        self._tell(change)
            except (psycopg.Error, OSError) as error:
                _LOG.warning("open pages hear nothing for %.0f s: %s", wait_s, type(error).__name__)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    def _tell(self, change: tuple[str, str] | None) -> None:
        if change is None:  # something may have been missed
            told = [stream for streams in self._by_subject.values() for stream in streams]
        else:
            tenant, request_id = change
            told = [*self._by_subject.get((tenant, request_id), ()), *self._by_subject.get((tenant, ""), ())]
        for stream in told:
            stream.tell()

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            by_tenant: defaultdict[str, set[str]] = defaultdict(set)
            for token, streams in self._by_token.items():
                by_tenant[streams[0].tenant].add(token)
            try:
                for tenant, tokens in by_tenant.items():
                    for token in tokens - await self._sessions.still_hold(tenant, tokens):
                        self.end_session(token)
            except StoreDown as error:
                _LOG.warning("sessions of open pages are not checked: %s", error)
