"""What a list can be asked for: the same for pages and for the API."""

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from contracts.base import Record
from contracts.vote import Verdict
from store.approval_lists import MAX_PAGE, Outcome, Reader, RequestQuery, Sort
from store.vote_lists import DecisionQuery

__all__ = ["DecisionFilter", "PageOf", "RequestFilter"]


class PageOf(Record):
    """Which page of a list."""

    # FastAPI describes the parts of an address by the fields, without a schema of the model.
    model_config = ConfigDict(use_attribute_docstrings=True)

    after: str = Field(default="", max_length=300)
    """Cursor `next` of the page before this one."""
    before: str = Field(default="", max_length=300)
    """Cursor `previous` of the page after this one."""
    limit: int = Field(default=25, ge=1, le=MAX_PAGE)
    """Lines of a page."""

    @model_validator(mode="after")
    def _one_direction(self) -> Self:
        if self.after and self.before:
            msg = "give after or before, not both"
            raise ValueError(msg)
        return self


class RequestFilter(PageOf):
    """Which requests."""

    state: Literal["open", "history"] = "open"
    """Open ones, or those that are over."""
    scope: Literal["mine", "groups", "all"] = "mine"
    """`mine`: open ones that you may decide and have not, or past ones that you voted on; `groups`: of your groups."""
    sort: Sort = "sla"
    """Of open ones: next due, oldest or riskiest first. Past ones come by when they ended, the last first."""
    search: str = Field(default="", max_length=200)
    """Words that a request must all have, each from its beginning: ids, tool, agent, target, requester."""
    outcome: Outcome | Literal[""] = ""
    """Of past ones: how they ended."""

    def query(self, reader: Reader) -> RequestQuery:
        """As the store understands it."""
        return RequestQuery.model_validate({**self.model_dump(), "outcome": self.outcome or None, "reader": reader})


class DecisionFilter(PageOf):
    """Which votes."""

    scope: Literal["mine", "all"] = "mine"
    """Yours, or everybody's."""
    person: str = Field(default="", max_length=200)
    """Of everybody's: this person's."""
    verdict: Verdict | Literal[""] = ""
    """Those that say this."""

    def query(self, me: str) -> DecisionQuery | None:
        """As the store understands it; None: nobody asks for their own."""
        if self.scope == "mine" and not me:
            return None
        return DecisionQuery(
            person=me if self.scope == "mine" else self.person.strip(),
            verdict=self.verdict or None,
            after=self.after,
            before=self.before,
            limit=self.limit,
        )
