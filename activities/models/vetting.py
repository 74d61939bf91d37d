"""What is wrong with a model of the map before anything is asked of it: no known price, or an id of no one version.

A model without a price is refused when a run is pinned. An alias works, but what answers to it can change at any time
and unseen, so whoever chose it is told.
"""

from collections.abc import Iterable
from typing import Literal

from activities.models.model_map import entries_of, is_pinned_version, resolve
from activities.models.prices import UnpricedModel, ensure_priced
from contracts.base import Record
from contracts.model import ModelChoice, Provider
from settings import Settings

__all__ = ["ModelFault", "faults_in_use", "faults_of"]


class ModelFault(Record):
    """One thing that is wrong with one model."""

    rule: Literal["model-unpriced", "model-alias"]
    """`model-unpriced`: no run that has it is started."""
    message: str
    """What is wrong."""
    advice: str
    """What to do about it."""


def faults_of(name: str, settings: Settings) -> list[ModelFault]:
    """Of what a name stands for at each provider: any of them is a key in the environment away.

    Raises:
        ModelMapError: the map has no such name, or cannot be used.
    """
    choices = entries_of(name, settings)
    # What a compatible server asks is known only of a server that is known.
    return _faults(one for one in choices if one.provider is not Provider.COMPATIBLE or one.base_url)


def faults_in_use(names: Iterable[str], settings: Settings) -> list[ModelFault]:
    """Of what the names stand for at the provider in use.

    Raises:
        ModelMapError: as `resolve`.
    """
    return _faults(resolve(names, settings).values())


def _faults(choices: Iterable[ModelChoice]) -> list[ModelFault]:
    found: list[ModelFault] = []
    for choice in choices:
        where = f"`{choice.name}` stands for {choice.model} of {choice.provider}"
        try:
            ensure_priced(choice)
        except UnpricedModel:
            message = f"{where}, of which no price is known: no run with it is started"
            advice = "Give it a price in the model map (zeros for a server of your own), or use a listed version."
            found.append(ModelFault(rule="model-unpriced", message=message, advice=advice))
        if not is_pinned_version(choice):
            message = f"{where}, an alias: another model may answer to it tomorrow"
            advice = "Write the id of a version into the model map."
            found.append(ModelFault(rule="model-alias", message=message, advice=advice))
    return found
