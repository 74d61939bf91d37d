"""Cases as an author writes them: `cases.yaml` in an agent's folder, in the dataset format of pydantic-evals."""

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_evals import Case, Dataset
from yaml import YAMLError

from contracts.agent import Stage
from contracts.base import GroupName, JsonObject, Record, UserName
from contracts.vote import Verdict
from evals.evaluators import EVALUATORS, OfRun
from evals.evidence import Evidence

__all__ = [
    "CASES_FILE",
    "AgentCase",
    "AgentDataset",
    "CaseEvent",
    "CaseInput",
    "CaseNotes",
    "CasesError",
    "DeclaredVote",
    "Suite",
    "World",
    "load_suite",
]

CASES_FILE = "cases.yaml"
MAX_CASES = 1_000


class CaseEvent(Record):
    """An event as an endpoint would accept it."""

    type: str = Field(default="ticket.created", min_length=1, max_length=100)
    """The CloudEvents type."""
    source: str = Field(default="/evals", min_length=1, max_length=100)
    """The CloudEvents source."""
    data: JsonObject
    """The payload."""
    trusted: tuple[str, ...] = ("ticket_id",)
    """Fields of the payload that the endpoint would declare trusted."""


class World(Record):
    """What the case's own tenant finds in the system of record."""

    like: str = "acme"
    """Tenant of the back office's seed whose records it begins with."""
    customers: tuple[JsonObject, ...] = Field(default=(), max_length=100)
    """Customers to add, or to put in place of those with the same id; fields as in the seed."""
    orders: tuple[JsonObject, ...] = Field(default=(), max_length=100)
    """Orders, likewise."""
    tickets: tuple[JsonObject, ...] = Field(default=(), max_length=100)
    """Tickets, likewise."""
    faults: tuple[JsonObject, ...] = Field(default=(), max_length=20)
    """What the back office gets wrong for this tenant: plans as its `POST /admin/faults` takes them."""


class DeclaredVote(Record):
    """A person's decision. It is signed and sent as the approval form does, and the run may refuse it."""

    person: UserName
    """Who decides: an account of that name is made."""
    groups: tuple[GroupName, ...] = ()
    """Groups that the person is in."""
    verdict: Verdict
    """`approve` or `deny`."""
    reason: str = ""
    """Needed for a denial."""
    request: int = Field(default=1, ge=1, le=20)
    """Which of the run's approval requests, counted from 1."""


class CaseInput(Record):
    """Everything that is set up and fed in. What must come of it is for the case's evaluators."""

    event: CaseEvent
    """What starts the run that is scored."""
    earlier: tuple[CaseEvent, ...] = Field(default=(), max_length=5)
    """Events whose runs end before that one starts; their effects are in the books, their histories are not scored."""
    world: World = World()
    votes: tuple[DeclaredVote, ...] = Field(default=(), max_length=20)
    """In the order in which they are cast. Nobody else decides anything."""
    stage: Stage = Stage.LIMITED_AUTONOMY
    """The agent's autonomy in the case's tenant."""
    tier_ceiling: int = Field(default=3, ge=0, le=4)
    """Highest tier that the agent may ever call in the case's tenant."""
    approval_expires_s: int | None = Field(default=None, ge=1, le=30)
    """Lets requests expire so soon instead of after the agent's own time. Seconds."""
    limit_s: int = Field(default=60, ge=1, le=600)
    """A run that has not ended by then is stopped, and fails the case. Seconds."""


class CaseNotes(Record):
    """What people and later gates want to know of a case."""

    why: str = Field(default="", max_length=500)
    """What would be wrong if it failed."""
    family: str = Field(default="general", pattern=r"^[a-z][a-z0-9-]{0,40}$")
    """Cases of one family vary one situation."""
    guards_gate: bool = False
    """It must fail when the gate lets everything pass: a test checks that it does."""
    source: str = Field(default="written", max_length=200)
    """Where it came from: written by hand, or the incident that it was made of."""


AgentCase = Case[CaseInput, Evidence, CaseNotes]
AgentDataset = Dataset[CaseInput, Evidence, CaseNotes]


class CasesError(ValueError):
    """A `cases.yaml` cannot be used; the message says where and why."""


@dataclass(frozen=True)
class Suite:
    """The cases of one agent."""

    agent: str
    file: Path
    cases: tuple[AgentCase, ...]

    def dataset(self) -> AgentDataset:
        """The same, as pydantic-evals runs it."""
        return AgentDataset(name=self.agent, cases=self.cases)

    def only(self, names: tuple[str, ...]) -> "Suite":
        """The cases of these names. Raises CasesError for a name that is not there."""
        known = {case.name: case for case in self.cases}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise CasesError(f"{self.file} has no case {', '.join(unknown)}. Cases: {', '.join(map(str, known))}.")
        return replace(self, cases=tuple(known[name] for name in names))


def load_suite(agents_dir: Path, agent: str) -> Suite:
    """The cases of an agent, those that could never fail refused.

    Raises:
        CasesError: no such file, or a mistake in it.
    """
    file = agents_dir / agent / CASES_FILE
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise CasesError(f"{file}: {error.strerror}. Write it, with at least one case.") from error
    try:
        dataset = AgentDataset.from_text(text, custom_evaluator_types=EVALUATORS, default_name=agent)
        suite = Suite(agent=agent, file=file, cases=tuple(_with_common(dataset)))
    except ExceptionGroup as group:
        raise CasesError(f"{file}: {_one_line(group.exceptions[0])}") from group
    except (ValidationError, ValueError, YAMLError) as error:
        raise CasesError(f"{file}: {_one_line(error)}") from error
    if not 1 <= len(suite.cases) <= MAX_CASES:
        raise CasesError(f"{file}: {len(suite.cases)} cases; a suite has 1 to {MAX_CASES}.")
    for case in suite.cases:
        _check(file, case)
    return suite


def _with_common(dataset: AgentDataset) -> list[AgentCase]:
    """The file's own evaluators hold for every case."""
    for case in dataset.cases:
        case.evaluators = [*case.evaluators, *dataset.evaluators]
        case.metadata = case.metadata or CaseNotes()
    return dataset.cases


def _check(file: Path, case: AgentCase) -> None:
    if not case.name:
        raise CasesError(f"{file}: a case has no name. Give it one that says what must happen.")
    if case.expected_output is not None:
        raise CasesError(f"{file}: case {case.name} has an expected_output. Say with evaluators what must come of it.")
    if not case.evaluators:
        raise CasesError(f"{file}: case {case.name} has no evaluators: it would pass whatever happens.")
    for evaluator in case.evaluators:
        if not isinstance(evaluator, OfRun):
            # They look for spans of this process: of a run there are none, and no span is no evidence.
            known = ", ".join(kind.__name__ for kind in EVALUATORS)
            raise CasesError(f"{file}: case {case.name}: {type(evaluator).__name__} does not read runs. Use {known}.")


def _one_line(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return " ".join(str(error).split())[:600]
