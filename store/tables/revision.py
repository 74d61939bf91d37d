"""Calls as people edited them, and what their arguments have to look like."""

from datetime import datetime

from sqlalchemy import Column, DateTime, Index, text
from sqlmodel import Field

from store.tables.base import Table

__all__ = ["ArgumentSchemaRow", "CallRevisionRow"]


class ArgumentSchemaRow(Table, table=True):
    """JSON Schema of a tool's arguments: by it a form knows what may be written."""

    __tablename__ = "argument_schemas"
    tenant: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    """The tool's `schema_digest`, as in the basis of a request."""
    body: str


class CallRevisionRow(Table, table=True):
    """One edit of a call that waited for approval. Only added to."""

    __tablename__ = "call_revisions"
    __table_args__ = (Index("call_revisions_arguments", "tenant", "run_id", "arguments_digest"),)
    tenant: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    step: int = Field(primary_key=True)
    call: int = Field(primary_key=True)
    revision: int = Field(primary_key=True)
    """1 for the first edit."""
    arguments: str
    """Canonical JSON of the arguments that hold from here on. Content."""
    arguments_digest: str
    request_id: str
    """The request that the edit ended."""
    decision_id: str
    """The vote that carried it."""
    person: str
    for_person: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """For whom a delegate edited; empty where the person did it for themselves."""
    display_name: str
    reason: str
    problem: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """Why the edit could not be used: then the arguments are those before it."""
    made_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()")))
