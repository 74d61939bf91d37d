"""Stop a run exactly at a boundary: the statement of that boundary waits for a lock, in a trigger or where it begins.

Nothing of this is in the product. While a statement is held, the world is as it is between two steps: what came before
is committed, what comes next is not.
"""

import time
from contextlib import suppress

import psycopg
from psycopg.rows import dict_row

__all__ = ["Holds"]

LOCK_CLASS = 7399
POLL_S = 0.02

_INSTALL = """
create schema crash;
create table crash.armed (run_id text primary key, point text not null, slot int not null);
create function crash.stand(p_run text, p_point text) returns void language plpgsql security definer as $$
declare
    held int;
begin
    select a.slot into held from crash.armed a where a.run_id = p_run and a.point = p_point;
    if found then perform pg_advisory_xact_lock_shared(7399, held); end if;
end $$;
create function crash.hold() returns trigger language plpgsql security definer as $$
begin
    perform crash.stand(new.run_id, tg_argv[0] || coalesce('/' || (to_jsonb(new) ->> 'step'), ''));
    return new;
end $$;
grant usage on schema crash to public;
-- These two lock what runs share before they write anything of their run: they stand where they begin.
do $do$
declare
    place record;
begin
    for place in values
        ('admit_call', $$case p_verdict when 'record' then 'record' else 'admit' end || '/' || p_step$$),
        ('close_run', $$'close'$$)
    loop
        execute replace(pg_get_functiondef(place.column1::regproc), 'perform take_tenant(p_tenant);',
            'perform take_tenant(p_tenant); perform crash.stand(p_run, ' || place.column2 || ');');
        if position('crash.stand' in pg_get_functiondef(place.column1::regproc)) = 0 then
            raise exception '% does not begin as it did', place.column1;
        end if;
    end loop;
end $do$;
create trigger crash_open before insert on runs for each row execute function crash.hold('open');
create trigger crash_reserve before insert on journal for each row when (new.call = -1)
    execute function crash.hold('reserve');
create trigger crash_settle before update on journal for each row when (new.call = -1 and new.state = 'done')
    execute function crash.hold('settle');
create trigger crash_start before update on effects for each row
    when (old.state = 'prepared' and new.state = 'in_flight') execute function crash.hold('start');
create trigger crash_finish before update on journal for each row when (new.call >= 0 and new.state = 'done')
    execute function crash.hold('finish');
create trigger crash_ask before insert on approval_requests for each row execute function crash.hold('ask');
create trigger crash_answer before update on approval_requests for each row execute function crash.hold('answer');
"""


class Holds:
    """The armed points, through a session that holds their locks."""

    def __init__(self, owner_url: str) -> None:
        self._url = owner_url
        self._session: psycopg.Connection | None = None
        self._slot = 0

    def install(self) -> None:
        """Add the triggers to the database."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(_INSTALL)

    def arm(self, run_id: str, point: str) -> None:
        """Hold the run when it comes to the point, until its release."""
        if self._session is None or self._session.closed:
            self._session = psycopg.connect(self._url, autocommit=True)
        self._slot += 1
        self._session.execute("select pg_advisory_lock(%s, %s)", (LOCK_CLASS, self._slot))
        self._session.execute(
            "insert into crash.armed (run_id, point, slot) values (%s, %s, %s)", (run_id, point, self._slot)
        )

    def holding(self) -> dict[str, int]:
        """Runs that stand at their point, each with the server process of its statement."""
        with psycopg.connect(self._url) as connection, connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(
                """select a.run_id, l.pid from crash.armed a join pg_locks l
                       on l.locktype = 'advisory' and l.classid = %s and l.objid = a.slot and not l.granted""",
                (LOCK_CLASS,),
            ).fetchall()
        return {row["run_id"]: row["pid"] for row in rows}

    def wait_for(self, run_ids: set[str], limit_s: float = 60.0) -> None:
        """Wait until all of these stand at their points."""
        deadline = time.monotonic() + limit_s
        while not run_ids <= self.holding().keys():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not at their points: {run_ids - self.holding().keys()}")
            time.sleep(POLL_S)

    def undo(self, run_ids: set[str]) -> None:
        """Break off the held statements of these runs: what they did so far is rolled back."""
        for pid in (pid for run_id, pid in self.holding().items() if run_id in run_ids):
            with psycopg.connect(self._url, autocommit=True) as connection:
                connection.execute("select pg_terminate_backend(%s, 5000)", (pid,))

    def release(self) -> None:
        """Let every held statement go on, and hold nobody again."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("delete from crash.armed")
        self.close()

    def close(self) -> None:
        """Give all locks back."""
        if self._session is not None:
            with suppress(psycopg.Error):
                self._session.close()
            self._session = None
