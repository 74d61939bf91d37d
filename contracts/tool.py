"""The tool contract: a narrow, typed, versioned function; its decorator states all that the gate must know."""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Literal, Protocol, TypeVar, cast, get_type_hints

from pydantic import BaseModel, Field

from contracts.base import JsonObject, Record
from contracts.tool_faults import Ambiguous, RateLimited, RefusedBeforeSend, Rejected, ToolFault

__all__ = [
    "Ambiguous",
    "Destination",
    "Effect",
    "Label",
    "Money",
    "Preview",
    "Probe",
    "RateLimited",
    "RefusedBeforeSend",
    "Rejected",
    "Service",
    "ServiceReply",
    "Tier",
    "Tool",
    "ToolContext",
    "ToolFault",
    "tool",
]

MAX_TIMEOUT_S = 900
_RESOURCE_TYPE = re.compile(r"^[A-Z][A-Za-z0-9]{0,40}$")


class Tier(IntEnum):
    """Risk tier, with its default control (see `policy/base.cedar`)."""

    READ_ONLY = 0
    LOW_IMPACT = 1
    REVERSIBLE = 2
    HIGH_IMPACT = 3
    IRREVERSIBLE = 4


class Effect(StrEnum):
    """Whether a tool changes anything outside."""

    READ = "read"
    WRITE = "write"


class Label(StrEnum):
    """How far an output field may be believed."""

    TRUSTED = "trusted"
    """A field of a system of record that outsiders cannot write."""
    UNTRUSTED = "untrusted"
    """Content that somebody outside may have written."""


class Money(Record):
    """An amount that a call moves."""

    amount_minor: int = Field(ge=0, le=2**53 - 1)
    """Integer minor units (cents)."""
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    """ISO 4217 code."""


class Destination(Record):
    """Whom a call reaches, as one of its arguments names it."""

    kind: Literal["host", "email", "account"]
    """A host name or URL, a mail address, or an account of whatever kind."""
    value: str
    """As it stands in the argument."""


class ServiceReply(Record):
    """A definite answer (status below 400) of a service that a tool talks to."""

    status: int
    body: Any
    """Parsed JSON."""


class Service(Protocol):
    """A system that a tool may call. The gate supplies address, credential and idempotency key, not the tool."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: JsonObject | None = None,
        params: Mapping[str, str | int] | None = None,
        arguments: JsonObject | None = None,
    ) -> ServiceReply:
        """Send one request.

        `arguments` is what the credential is bound to where that is not the call's own arguments: for the reads of a
        probe or a preview. A write is always bound to the call's own.

        Raises:
            ToolFault: one of its kinds for anything but a definite success.
        """
        ...


class ToolContext(Protocol):
    """What a running tool is given."""

    def service(self, name: str) -> Service:
        """The service that the tool declared; any other name raises `RefusedBeforeSend`."""
        ...

    def heartbeat(self, note: str) -> None:
        """Say that long work goes on."""
        ...


class Probe(Record):
    """What a service says became of an effect key."""

    state: Literal["done", "absent", "unclear"]
    """`done`: it happened; `absent`: the service never saw the key; `unclear`: it cannot tell."""
    output: JsonObject | None = None
    """The tool's output where it was done."""


class Preview(Record):
    """Before and after, read before an approval is asked."""

    before: JsonObject
    after: JsonObject
    resource_version: str = ""
    """Version of the target; another version voids the approval."""


ArgsT = TypeVar("ArgsT", bound=BaseModel)
OutT = TypeVar("OutT", bound=BaseModel)
ToolFunction = Callable[[Any, ToolContext], Awaitable[BaseModel]]
ProbeFunction = Callable[[Any, ToolContext, str], Awaitable[Probe]]
Compensate = Callable[[Any, Any], BaseModel]
"""`(arguments, output) -> arguments of the compensating tool`: pure, of the models that the undone tool declares."""
PreviewFunction = Callable[[Any, ToolContext], Awaitable[Preview]]


def _no_money(_args: Any) -> Money | None:  # noqa: ANN401 - any arguments model
    return None


def _no_destinations(_args: Any) -> tuple[Destination, ...]:  # noqa: ANN401 - any arguments model
    return ()


def _no_natural_key(_args: Any) -> str:  # noqa: ANN401 - any arguments model
    return ""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool as declared. Built by the `tool` decorator, found by the folder scan of `activities/registry.py`."""

    name: str
    """`area.verb_noun`; what the model, the policy and the records call it."""
    version: int
    """Raised with every change of behaviour or schema."""
    tier: Tier
    """Static tier; data, money, visibility or lack of rollback can raise the tier of a call, never lower it."""
    effect: Effect
    service: str
    """Audience of its credential and the one service that it may call; empty for a tool that calls none."""
    scopes: tuple[str, ...]
    """Scopes of its credential."""
    timeout_s: float
    """Upper bound of one attempt in seconds. Reads of at most 5 s run as local activities."""
    attempts: int
    """Attempts within one call, where another one is safe."""
    owner: str
    """Who is called when it fails."""
    description: str
    """First line of the function's docstring, shown to the model and to approvers."""
    args_model: type[BaseModel]
    output_model: type[BaseModel]
    function: ToolFunction
    resource_type: str
    """Entity type of what it acts on, such as `Order`."""
    resource_id: Callable[[Any], str]
    """Identity, within the tenant, of what a call with these arguments acts on."""
    natural_key: Callable[[Any], str]
    """The deed itself (order and purpose), so that proposing it again is noticed; empty for none."""
    money: Callable[[Any], Money | None]
    """Amount moved, if any."""
    compensation: str
    """Name of the tool that undoes it; empty: it cannot be undone."""
    probe: ProbeFunction | None
    """Looks up what became of an effect key."""
    preview: PreviewFunction | None
    """Reads before and after for the approver."""
    labels: Mapping[str, Label] = field(default_factory=dict[str, Label])
    """Label per output field, by its path, such as `items.note`; what is inside has the label of what is around it,
    others are trusted."""
    undone_with: Compensate | None = None
    """The compensation's arguments, from what was asked and what came of it."""
    not_undone: str = ""
    """Why there is no compensation, of a write without one; empty: its author did not say."""
    free_text: tuple[str, ...] = ()
    """Arguments that are prose: policy does not ask where they come from, only where contacts inside them do."""
    requested_by: tuple[str, ...] = ()
    """Words by which a person asks for this deed, each form spelled out, such as `pay` and `payment`."""
    rate_per_minute: int = 0
    """Calls in any 60 seconds of a tenant; 0: no limit of its own."""
    rate_per_day: int = 0
    """Calls a day of a tenant; 0: no limit of its own."""
    destinations: Callable[[Any], tuple[Destination, ...]] = _no_destinations
    """Whom a call with these arguments reaches; each must be allowed."""
    allowed_destinations: tuple[str, ...] = ()
    """Patterns of `policy/destinations.py`; a tenant's `limits.yaml` may add to them. None at all: nobody."""
    key_window_s: int = 0
    """How long the service honours an idempotency key, in seconds; 0: it does not."""
    customer_visible: bool = False
    """Whether somebody outside the company sees the effect."""
    data_class: Literal["public", "internal", "personal", "sensitive"] = "internal"
    """Most sensitive class of data that it reads or writes."""
    cacheable_s: int = 0
    """How long a result may be served again, in seconds; 0: never."""
    isolated: bool = False
    """Runs in its own worker, which holds no model keys and no vote keys."""
    source: str = ""
    """Digest of the module's source text, set by the registry."""

    @property
    def counts_by_day(self) -> bool:
        """Whether its calls are counted over the tenant's day, so that policy can see them there."""
        return self.rate_per_day > 0 or self.money is not _no_money

    @property
    def moves_money(self) -> bool:
        """Whether its calls move money."""
        return self.money is not _no_money

    @property
    def has_natural_key(self) -> bool:
        """Whether it says how to recognise a deed that was done before."""
        return self.natural_key is not _no_natural_key


def tool(  # noqa: PLR0913 - a declaration, read field by field, not a call
    *,
    name: str,
    version: int,
    tier: Tier,
    effect: Effect,
    owner: str,
    resource: tuple[str, Callable[[Any], str]],
    service: str = "",
    scopes: tuple[str, ...] = (),
    timeout_s: float = 5,
    attempts: int = 3,
    natural_key: Callable[[Any], str] = _no_natural_key,
    money: Callable[[Any], Money | None] = _no_money,
    compensation: str = "",
    undone_with: Compensate | None = None,
    not_undone: str = "",
    probe: ProbeFunction | None = None,
    preview: PreviewFunction | None = None,
    labels: Mapping[str, Label] | None = None,
    free_text: tuple[str, ...] = (),
    requested_by: tuple[str, ...] = (),
    rate_per_minute: int = 0,
    rate_per_day: int = 0,
    destinations: Callable[[Any], tuple[Destination, ...]] = _no_destinations,
    allowed_destinations: tuple[str, ...] = (),
    key_window_s: int = 0,
    customer_visible: bool = False,
    data_class: Literal["public", "internal", "personal", "sensitive"] = "internal",
    cacheable_s: int = 0,
    isolated: bool = False,
) -> Callable[[Callable[[ArgsT, ToolContext], Awaitable[OutT]]], Tool]:
    """Declare a tool: `async def name(args: ArgsModel, ctx: ToolContext) -> OutputModel`.

    `resource` names what a call acts on, as policy sees it: the entity type and how to tell the identity from the
    arguments, such as `("Order", lambda args: args.order_id)`. A write names its `compensation` and, in `undone_with`,
    how that tool's arguments follow from its own arguments and output; or it says in `not_undone` why there is none.

    Raises:
        TypeError: the function's signature is not of that form, or the declaration contradicts itself.
    """
    if effect is Effect.READ and tier is not Tier.READ_ONLY:
        msg = f"{name}: a read has tier READ_ONLY; what it reads is stated by data_class"
        raise TypeError(msg)
    if effect is Effect.WRITE and (tier is Tier.READ_ONLY or cacheable_s):
        msg = f"{name}: a write has a tier above READ_ONLY and cannot be cached"
        raise TypeError(msg)
    if bool(compensation) and bool(not_undone):
        msg = f"{name}: it is undone by {compensation}, or it is not undone because of something: not both"
        raise TypeError(msg)
    if not _RESOURCE_TYPE.match(resource[0]):
        msg = f"{name}: the resource type {resource[0]!r} must be a capitalised word, such as Order"
        raise TypeError(msg)
    if not 0 < timeout_s <= MAX_TIMEOUT_S:
        msg = f"{name}: timeout_s must be above 0 and at most {MAX_TIMEOUT_S}"
        raise TypeError(msg)

    def declare(function: Callable[[ArgsT, ToolContext], Awaitable[OutT]]) -> Tool:
        args_model, output_model = _models_of(name, function)
        unknown = set(free_text) - set(args_model.model_fields)
        if unknown:
            msg = f"{name}: free_text names {', '.join(sorted(unknown))}, which {args_model.__name__} does not have"
            raise TypeError(msg)
        return Tool(
            name=name,
            version=version,
            tier=tier,
            effect=effect,
            service=service,
            scopes=scopes,
            timeout_s=timeout_s,
            attempts=attempts,
            owner=owner,
            description=(inspect.getdoc(function) or "").strip(),
            args_model=args_model,
            output_model=output_model,
            function=function,
            resource_type=resource[0],
            resource_id=resource[1],
            natural_key=natural_key,
            money=money,
            compensation=compensation,
            undone_with=undone_with,
            not_undone=not_undone,
            probe=probe,
            preview=preview,
            labels=dict(labels or {}),
            free_text=free_text,
            requested_by=requested_by,
            rate_per_minute=rate_per_minute,
            rate_per_day=rate_per_day,
            destinations=destinations,
            allowed_destinations=allowed_destinations,
            key_window_s=key_window_s,
            customer_visible=customer_visible,
            data_class=data_class,
            cacheable_s=cacheable_s,
            isolated=isolated,
        )

    return declare


def _models_of(name: str, function: Callable[..., object]) -> tuple[type[BaseModel], type[BaseModel]]:
    hints = get_type_hints(function)
    output = hints.pop("return", None)
    args = next(iter(hints.values()), None)
    for part, found in (("first parameter", args), ("return value", output)):
        if not (isinstance(found, type) and issubclass(found, BaseModel)):
            msg = f"{name}: the {part} of {function.__qualname__} must be annotated with a pydantic model"
            raise TypeError(msg)
        if found.model_config.get("extra") != "forbid":
            msg = f"{name}: {found.__name__} must forbid unknown fields (derive it from contracts.base.Record)"
            raise TypeError(msg)
    if not inspect.iscoroutinefunction(function):
        msg = f"{name}: {function.__qualname__} must be an async function"
        raise TypeError(msg)
    return cast("type[BaseModel]", args), cast("type[BaseModel]", output)
