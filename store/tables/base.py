"""The base of every table."""

from typing import Any, ClassVar

from sqlmodel import SQLModel

__all__ = ["Table"]


class Table(SQLModel):
    """A table. Its name is stated by each class."""

    __tablename__: ClassVar[Any]
