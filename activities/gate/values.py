"""Recorded values of runs, kept by this process so that each message is read and indexed once."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import cast

from contracts.base import JsonObject
from contracts.tool import Label
from policy.outgoing import OwnRecords
from policy.provenance import ValueIndex
from store.journal import LoadedCall

__all__ = ["RunValues"]

_MAX_RUNS = 256


class RunValues:
    """An index per run, extended by what each load brings. Losing it costs a longer read, nothing else."""

    def __init__(self) -> None:
        self._runs: OrderedDict[tuple[str, str], tuple[int, ValueIndex, OwnRecords]] = OrderedDict()

    def known_until(self, tenant: str, run_id: str) -> int:
        """Sequence number of the last message that is indexed."""
        return self._runs.get((tenant, run_id), (0, None, None))[0]

    def forget(self, tenant: str, run_id: str) -> None:
        """Read the run anew: what was read of it may never have reached the disk."""
        self._runs.pop((tenant, run_id), None)

    def extended(
        self, tenant: str, run_id: str, after: int, loaded: LoadedCall, labels: Mapping[str, Mapping[str, Label]]
    ) -> tuple[ValueIndex, OwnRecords]:
        """The run's index, and what it read of whom, with what was loaded after that sequence number."""
        key = (tenant, run_id)
        until, index, records = self._runs.get(key) or (0, ValueIndex(), OwnRecords())
        if until == after and loaded.values_seq is not None:
            messages = cast("list[JsonObject]", json.loads(loaded.values))
            index.read(messages, loaded.run.trusted_fields, labels)
            records.read(messages, labels)
            until = loaded.values_seq
        self._runs[key] = (until, index, records)
        self._runs.move_to_end(key)
        if len(self._runs) > _MAX_RUNS:
            self._runs.popitem(last=False)
        return index, records
