"""What stops runs: switches with their receipts, pauses, operators' commands. And who looked at a run."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, text
from sqlmodel import Field

from store.tables.base import Table

__all__ = ["CommandRow", "PauseRow", "RunRead", "Switch", "SwitchReceipt"]


def _at(*, nullable: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable, server_default=None if nullable else text("now()"))


class Switch(Table, table=True):
    """A kill switch that is or was on. Tenant `*` holds for all."""

    __tablename__ = "switches"
    __table_args__ = (
        Index(
            "switches_on",
            "tenant",
            "scope",
            "target",
            unique=True,
            postgresql_where=text("released_at is null"),
        ),
    )
    switch_id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    tenant: str
    scope: str
    """`tenant`, `agent`, `tool` or `run`."""
    target: str
    """Agent, tool or run; `*` for a tenant."""
    reason: str
    set_by: str
    set_at: datetime = Field(sa_column=_at())
    """When the gate's lock was held: nothing that began later was admitted."""
    epoch: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    """Credentials of the scope with a lower one are refused."""
    released_by: str | None = None
    released_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    released_reason: str | None = None


class SwitchReceipt(Table, table=True):
    """What was under way when a switch fell. Append-only: what became of it stands in ledger and journal."""

    __tablename__ = "switch_receipts"
    __table_args__ = (Index("switch_receipts_by_run", "tenant", "run_id"),)
    tenant: str = Field(primary_key=True)
    """Of the run: a switch for all tenants has receipts in each."""
    switch_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    run_id: str = Field(primary_key=True)
    step: int = Field(primary_key=True)
    call: int = Field(primary_key=True)
    """-1: the step's model call."""
    visit: int
    agent: str
    tool: str | None = None
    """None: the model."""
    kind: str
    """`write`, `read` or `model`."""
    state: str
    """At that moment: `prepared`, `in_flight` or `unknown` of a write, else `reserved`."""
    since: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    """When it was admitted, or sent first."""
    attempts: int
    at: datetime = Field(sa_column=_at())


class PauseRow(Table, table=True):
    """A pause of a run."""

    __tablename__ = "pauses"
    __table_args__ = (Index("pauses_open", "tenant", "run_id", unique=True, postgresql_where=text("ended_at is null")),)
    tenant: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    agent: str
    cause: str
    """`operator` or `halted`."""
    tool: str
    """The call that the gate stopped; empty: none."""
    detail: str
    command_id: str | None = None
    """Of an operator's pause."""
    person: str
    reason: str
    paused_at: datetime = Field(sa_column=_at())
    ended_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    ended_by: str | None = None
    """The command that ended it; None: the run ended by itself."""


class CommandRow(Table, table=True):
    """A signed command of an operator to a run, and what the run said to it."""

    __tablename__ = "commands"
    __table_args__ = (
        Index("commands_by_run", "tenant", "run_id", text("issued_at desc")),
        Index("commands_waiting", "next_attempt_at", postgresql_where=text("state = 'pending'")),
    )
    tenant: str = Field(primary_key=True)
    command_id: str = Field(primary_key=True)
    run_id: str
    kind: str
    person: str
    display_name: str
    reason: str
    jws: str
    state: str = Field(default="pending", sa_column_kwargs={"server_default": "pending"})
    """`pending`, `accepted` or `refused`."""
    refusal: str = Field(default="", sa_column_kwargs={"server_default": ""})
    attempts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    last_error: str = Field(default="", sa_column_kwargs={"server_default": ""})
    issued_at: datetime = Field(sa_column=_at())
    next_attempt_at: datetime = Field(sa_column=_at())
    settled_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))


class RunRead(Table, table=True):
    """Somebody looked at a run. Append-only."""

    __tablename__ = "run_reads"
    __table_args__ = (Index("run_reads_newest", "tenant", "run_id", text("at desc")),)
    read_id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    tenant: str
    run_id: str
    at: datetime = Field(sa_column=_at())
    reader: str
    """User name; `host:` and the operating system's user for a command on the machine itself."""
    person: str
    via: str
    """`page`, `api` or `cli`."""
    what: str
    """What was shown, such as `run` or `history`."""
