"""What the embedded server holds for us: a database, its tables, and the login of our processes."""

import psycopg
from psycopg import sql

from store import migrations
from workers.embedded.postgres import DATABASE, LOGIN, OWNER, PostgresServer

__all__ = ["create_application_database", "create_database", "create_login"]

_MEMBER_OF = ("countersign_app", "countersign_dispatch")


def create_database(server_url: str, name: str) -> None:
    """Make a database if there is none of that name; connects as the owner to another database."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        found = connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone()
        if found is None:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))


def create_login(owner_url: str) -> None:
    """Make the login of our processes, once the migrations have made the roles that it is a member of."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        found = connection.execute("select 1 from pg_roles where rolname = %s", (LOGIN,)).fetchone()
        login = sql.Identifier(LOGIN)
        if found is None:
            # noinherit: a connection has the rights of the role that it takes on, and no others.
            statement = sql.SQL("create role {} login noinherit nosuperuser nobypassrls nocreatedb nocreaterole")
            connection.execute(statement.format(login))
        for role in _MEMBER_OF:
            connection.execute(sql.SQL("grant {} to {}").format(sql.Identifier(role), login))


def create_application_database(server: PostgresServer) -> None:
    """Database, tables, functions, login: repeatable."""
    create_database(server.url(OWNER), DATABASE)
    migrations.upgrade(server.url())
    create_login(server.url())
