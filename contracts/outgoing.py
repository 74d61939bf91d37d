"""Output rules: what may not leave with a call, and what happens where it is found."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from contracts.base import Record
from contracts.tool import Tier

__all__ = ["Outgoing", "OutputAction", "OutputRule", "OutputRules", "Redaction", "Sensitive"]

ToolOrFinish = Annotated[str, StringConstraints(pattern=r"^([a-z][a-z0-9_]{0,30}\.[a-z][a-z0-9_]{0,40}|finish)$")]
ServiceName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
ArgumentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,80}$")]
Region = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
NationalId = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}\.[a-z][a-z0-9_]{0,30}$")]
Phrase = Annotated[str, StringConstraints(min_length=3, max_length=200)]


class Sensitive(StrEnum):
    """What the detectors can tell."""

    SECRET = "secret"  # noqa: S105 - the name of a class, no secret
    """Keys, tokens, private keys, passwords in addresses or after such a word."""
    PAYMENT_CARD = "payment_card"
    """A card number: known range, length and check digit."""
    IBAN = "iban"
    """An account number: country's form and check digits."""
    NATIONAL_ID = "national_id"
    """One of the configured kinds of numbers that states give to persons."""
    PHONE = "phone"
    EMAIL = "email"
    FILTERED = "filtered"
    """A configured phrase."""


class OutputAction(StrEnum):
    """What happens, weakest first."""

    ALLOW = "allow"
    REDACT = "redact"
    """The value is replaced before anything is decided: what is shown, approved and sent is the same."""
    ASK = "ask"
    """A person must approve the call (`base-outgoing-ask`)."""
    BLOCK = "block"
    """The call is denied, whoever approves (`base-outgoing-block`)."""


class OutputRule(Record):
    """One rule: which findings where, and what happens. What is left out matches everything."""

    classes: tuple[Sensitive, ...] = Field(min_length=1, max_length=7)
    action: OutputAction
    effect: Literal["write", "read", "any"] = "write"
    """Which calls: a read sends its arguments to a service as well."""
    tools: tuple[ToolOrFinish, ...] = Field(default=(), max_length=64)
    """Tools by name; `finish` means the summary and the hand-over text with which a run ends."""
    services: tuple[ServiceName, ...] = Field(default=(), max_length=64)
    """Destinations: services that the tools send to."""
    arguments: tuple[ArgumentName, ...] = Field(default=(), max_length=64)
    """Top-level arguments in which the value stands."""
    min_tier: Tier = Tier.READ_ONLY
    """Lowest risk tier of the tool."""
    customer_visible: bool | None = None
    """Whether somebody outside sees what the tool does; none: either."""
    part: Literal["any", "whole", "inside"] = "any"
    """`whole`: the argument is nothing but this value, and the tool does not declare it as text for people; `inside`:
    it stands within other text, or in such an argument."""
    own_record: bool = False
    """Only where the run read exactly this value in a trusted field of the record of what the call acts on: an output
    that names the call's resource among its own trusted fields."""
    final: bool = False
    """Of the organisation's file: an agent's rules come after it, not before."""


class OutputRules(Record):
    """`settings/output_rules.yaml`. Of each finding the first rule that matches decides; without one it may go."""

    phone_regions: tuple[Region, ...] = Field(default=(), max_length=20)
    """Countries whose national form of a phone number is recognised; the international one always is."""
    national_ids: tuple[NationalId, ...] = Field(default=(), max_length=20)
    """Kinds of national numbers by their name in python-stdnum, such as `de.idnr`."""
    filtered: tuple[Phrase, ...] = Field(default=(), max_length=500)
    """Phrases of the class `filtered`; case, spacing and look-alike letters do not matter."""
    rules: tuple[OutputRule, ...] = Field(max_length=200)
    """In order."""


class Outgoing(Record):
    """What policy is told of a call's arguments."""

    classes: tuple[str, ...] = ()
    """Classes found that no rule lets pass, sorted."""
    action: Literal["none", "ask", "block"] = "none"
    """The strongest of what rules want: `none`, `ask` or `block`."""


class Redaction(Record):
    """What was replaced in a proposal before anything was decided on it."""

    call: int = Field(ge=0)
    """Position of the call within the answer."""
    path: str
    """Where the value stood in the arguments, such as `text` or `lines[0].note`."""
    kind: Sensitive
    count: int = Field(ge=1)
    """How many values of that class."""
