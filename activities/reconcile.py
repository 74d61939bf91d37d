"""Asks services again what became of writes in doubt, until one of them knows or a person decides.

The run that proposed a write asks by itself while it waits for it. This asks on behalf of nobody: also for runs that
are over, paused or stuck. It sends nothing again; only a run does that, through the gate.
"""

import asyncio
import json
import logging
from typing import Literal, cast

from activities.credentials import CallIdentity
from activities.engine import Engine
from activities.registry import LoadedAgent
from activities.sandbox.lines import Job
from activities.services import CallContext
from activities.transcript import shown_output
from contracts.audit import EffectResolved
from contracts.base import JsonObject
from contracts.call import EffectState
from contracts.canonical import canonical_bytes
from contracts.tool import Probe, Tool
from settings.logs import about
from store.doubts import (
    CLOCK_SLACK_S,
    DueDoubt,
    EffectPlace,
    Settlement,
    claim_doubts,
    note_alarm,
    note_probe,
    settle_doubt,
)
from store.revocations import current_epoch

__all__ = ["ALARM_AGES_S", "reconcile"]

BATCH = 20
CLAIM_S = 120.0
"""How long a claimed doubt is this process's: longer than any probe takes."""
FIRST_WAIT_S = 15.0
LONGEST_WAIT_S = 3_600.0
ALARM_AGES_S = {"effect_unknown_15m": 900, "effect_unknown_4h": 14_400, "effect_unknown_1d": 86_400}
"""A doubt of this age raises the alarm of that kind, once."""
_LOG = logging.getLogger(__name__)


async def reconcile(engine: Engine, tenant: str) -> int:
    """Ask after the doubts that are due. How many there were; several processes may do so side by side.

    Raises:
        StoreDown: nothing is lost: a claim lapses by itself.
    """
    due = await claim_doubts(engine.db, tenant, limit=BATCH, lease_s=CLAIM_S)
    for doubt in due:
        place = EffectPlace(tenant, doubt.run_id, doubt.step, doubt.call)
        with about(tenant=tenant, run=doubt.run_id, step=doubt.step, key=str(place)):
            await _look(engine, place, doubt)
    return len(due)


async def _look(engine: Engine, place: EffectPlace, doubt: DueDoubt) -> None:
    probe = await _probe(engine, place, doubt)
    credential_over = doubt.now_s > (doubt.credential_s or 0) + CLOCK_SLACK_S
    if probe.state == "done":
        output = canonical_bytes(shown_output(probe.output or {})).decode()
        await _settle(engine, place, doubt, EffectState.SUCCEEDED, output, "")
    elif probe.state == "absent" and credential_over and doubt.closed:
        words = "The service never saw it, and what was sent cannot arrive any more."
        await _settle(engine, place, doubt, EffectState.FAILED_FINAL, None, words)
    else:
        again_s = min(FIRST_WAIT_S * 2 ** min(doubt.probes, 10), LONGEST_WAIT_S)
        await note_probe(engine.db, place, doubt.fence, probe.state, again_s=again_s)
        await _alarm(engine, place, doubt)


async def _settle(
    engine: Engine,
    place: EffectPlace,
    doubt: DueDoubt,
    state: Literal[EffectState.SUCCEEDED, EffectState.FAILED_FINAL],
    output: str | None,
    error: str,
) -> None:
    entry = EffectResolved(
        step=doubt.step, call=doubt.call, visit=1, tool=doubt.tool, state=state, how="probe",
        detail="done" if state is EffectState.SUCCEEDED else "absent, and the credential is over",
    )  # fmt: skip
    found = Settlement(
        state=state, output=output, error=error, by="probe", said_twice=False, audit=entry.model_dump_json(),
        fence=doubt.fence,
    )  # fmt: skip
    async with engine.db.tenant(place.tenant) as cursor:
        settled = await settle_doubt(cursor, place, found)
    if settled.kind == "settled":
        _LOG.info("effect %s is no longer in doubt: %s", place, state.value)


async def _alarm(engine: Engine, place: EffectPlace, doubt: DueDoubt) -> None:
    age_s = doubt.now_s - (doubt.doubted_s or doubt.now_s)
    for kind, after_s in ALARM_AGES_S.items():
        words = f"{doubt.tool} of {place} has been in doubt for {age_s // 60} min: countersign effects show {place}"
        if age_s >= after_s and await note_alarm(engine.db, place.tenant, kind, str(place), words):
            _LOG.error("%s", words)


async def _probe(engine: Engine, place: EffectPlace, doubt: DueDoubt) -> Probe:
    """Whatever goes wrong is `unclear`: no answer is no proof."""
    agent = engine.registry.live(doubt.agent)
    tool = agent.tools.get(doubt.tool) if agent else None
    if agent is None or tool is None or tool.probe is None:
        return Probe(state="unclear")
    try:
        async with engine.db.tenant(place.tenant) as cursor:
            epoch = await current_epoch(
                cursor, tenant=place.tenant, run_id=doubt.run_id, agent=doubt.agent, tool=doubt.tool
            )
        return await _ask(engine, place, doubt, agent, tool, epoch)
    except Exception as error:  # noqa: BLE001 - an agent's own probe may raise anything
        _LOG.warning("probe of %s failed: %s", place, type(error).__name__)
        return Probe(state="unclear")


async def _ask(
    engine: Engine, place: EffectPlace, doubt: DueDoubt, agent: LoadedAgent, tool: Tool, epoch: int
) -> Probe:
    identity = CallIdentity(
        tenant=place.tenant,
        run_id=doubt.run_id,
        agent=doubt.agent,
        on_behalf_of=doubt.on_behalf_of,
        tool=tool.name,
        service=tool.service,
        scopes=tool.scopes,
        effect_key=None,
        epoch=epoch,
    )
    arguments: JsonObject = cast("JsonObject", json.loads(doubt.arguments))
    context = CallContext(
        engine.services, engine.credentials, identity, {"key": str(place)},
        timeout_s=tool.timeout_s, may_write=False, beat=lambda _note: None,
    )  # fmt: skip
    if tool.isolated:
        job = Job(
            folder=str(agent.folder), tool=tool.name, function="probe", arguments=arguments, effect_key=str(place)
        )
        async with engine.boxes.box() as box:
            return Probe.model_validate(await box.run(job, context))
    if tool.probe is None:
        return Probe(state="unclear")
    async with asyncio.timeout(tool.timeout_s):
        return await tool.probe(tool.args_model.model_validate(arguments), context, str(place))
