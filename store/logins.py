"""The login of our processes: allowed to take on the application's roles, and nothing else."""

from collections.abc import Sequence

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

__all__ = ["admit_login"]


def admit_login(owner_url: str, login_url: str, roles: Sequence[str]) -> str:
    """Make the login of one address a member of the roles, as their owner, and return its name. May be repeated.

    Empty when both addresses name the same login: it made the roles, so it may take them on already.

    Raises:
        psycopg.Error: the login does not exist, or the owner did not make the roles.
    """
    login, owner = (str(conninfo_to_dict(url).get("user") or "") for url in (login_url, owner_url))
    if login in {"", owner}:
        return ""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        for role in roles:
            # No inheritance: a connection has the rights of the role that it takes on, and no others.
            statement = sql.SQL("grant {} to {} with inherit false, set true")
            connection.execute(statement.format(sql.Identifier(role), sql.Identifier(login)))
    return login
