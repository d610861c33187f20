"""Steps of workflows that wait for what is known of a number: looked up, and answered once.

A step is always answered, with `unknown` and a reason at the latest: its workflow stands still until then. An
answer of which nobody knows whether it arrived is given again; the portal passes over a second one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from smsbridge.bitrix24 import batch, bizproc, client, crm, limiter
from smsbridge.bitrix24.steps import Returned
from smsbridge.core.errand import ErrandKind
from smsbridge.core.number import Facts, LookupState, Reachability
from smsbridge.hlr.buying import BUDGET
from smsbridge.hlr.errands import ends, knowing, settling
from smsbridge.hlr.errands.knowing import Knowing
from smsbridge.hlr.errands.load import Load
from smsbridge.hlr.lookups import REMOVED
from smsbridge.hlr.settings import HlrSettings
from smsbridge.hlr.updates import run
from smsbridge.store.account import Pause
from smsbridge.store.egress import Stop
from smsbridge.store.errands import Taken

_PRIORITY = limiter.Priority.ROBOTS
_FINAL = frozenset({BUDGET, REMOVED, *Pause, *Stop})


@dataclass(frozen=True, slots=True)
class _Reply:
    facts: Facts | None
    why: str = ""

    @property
    def values(self) -> dict[str, str]:
        facts = self.facts or Facts("", LookupState.KNOWN)
        at = datetime.fromtimestamp(facts.checked_at_ms // 1000, UTC) if facts.checked_at_ms else None
        return {
            Returned.REACHABILITY.value: facts.reachability.value,
            Returned.OPERATOR.value: facts.carrier,
            Returned.REGION.value: facts.region,
            Returned.CHECKED_AT.value: at.isoformat() if at is not None else "",
            Returned.REASON.value: facts.reason or self.why,
        }


class Answering:
    def __init__(self, settings: HlrSettings, *, knowing_: Knowing) -> None:
        self._settings = settings
        self._knowing = knowing_

    async def work(self, load: Load, api: client.PortalApi, *, removed: bool) -> None:
        """Raises StoreAway."""
        steps = load.of(ErrandKind.STEP)
        if removed:
            await self._answer(load, api, {one.id: _Reply(None, REMOVED) for one in steps})
            return
        replies: dict[str, _Reply] = {}
        msisdns = await self._numbers(load, api, replies)
        pooled = [number for found in msisdns.values() for number in found]
        facts = await self._knowing.look_up(load.uid, pooled, wait_seconds=self._settings.step_wait_seconds)
        for one in load.of(ErrandKind.STEP):
            if one.id in replies:
                continue
            reply = self._reply(one, msisdns[one.id], facts)
            if reply is None:
                load.later(one, load.soon(one))
            else:
                replies[one.id] = reply
        await self._answer(load, api, replies)

    def _reply(self, one: Taken, msisdns: list[str], facts: Mapping[str, Facts]) -> _Reply | None:
        """None where more may come, and there is time for it."""
        known = knowing.of(msisdns, facts)
        over = one.age_ms >= self._settings.step_answer_seconds * 1000
        if known.best is not None and (over or not known.open):
            return _Reply(known.best)
        if over or all(_is_settled(facts[number]) for number in msisdns):
            return _Reply(known.best, known.why)
        return None

    async def _numbers(
        self, load: Load, api: client.PortalApi, replies: dict[str, _Reply]
    ) -> dict[str, list[str]]:
        """By errand; what has none is replied to, or waits for the portal."""
        found: dict[str, list[str]] = {}
        asked: list[Taken] = []
        for one in load.of(ErrandKind.STEP):
            errand = one.errand
            if not errand.phone and errand.entity is not None and errand.entity_id > 0:
                asked.append(one)
            else:
                self._take(one, None, found, replies)
        await self._read(load, api, asked, found, replies)
        return found

    async def _read(
        self,
        load: Load,
        api: client.PortalApi,
        asked: list[Taken],
        found: dict[str, list[str]],
        replies: dict[str, _Reply],
    ) -> None:
        commands = [
            crm.get_command(one.errand.entity, one.errand.entity_id)
            for one in asked
            if one.errand.entity is not None
        ]
        results = await run(api, commands, priority=_PRIORITY)
        for one, result in zip(asked, results, strict=True):
            entity = crm.read(result.value)
            if result.error is not None and settling.waits(result.error):
                load.later(one)
            elif entity is None:
                replies[one.id] = _Reply(None, ends.GONE)
            else:
                self._take(one, entity, found, replies)

    def _take(
        self, one: Taken, entity: crm.Entity | None, found: dict[str, list[str]], replies: dict[str, _Reply]
    ) -> None:
        found[one.id], why = knowing.numbers_of(
            one.errand.phone, entity, default_region=self._settings.default_region
        )
        if why:
            replies[one.id] = _Reply(None, why)

    async def _answer(self, load: Load, api: client.PortalApi, replies: Mapping[str, _Reply]) -> None:
        if not replies:
            return
        await load.keep()
        mine = [one for one in load.of(ErrandKind.STEP) if one.id in replies]
        commands = [bizproc.answer_command(one.errand.event_token, replies[one.id].values) for one in mine]
        results = await run(api, commands, priority=_PRIORITY)
        for one, result in zip(mine, results, strict=True):
            self._settle(load, one, result, replies[one.id])

    def _settle(self, load: Load, one: Taken, result: batch.CommandResult, reply: _Reply) -> None:
        if bizproc.is_over(result.error):
            load.end(one, ends.LATE)
        elif result.error is None:
            load.end(one, _word(reply))
        elif settling.waits(result.error):
            load.later(one)
        else:
            settling.failed(load, one, result.error)


def _is_settled(facts: Facts) -> bool:
    """Nothing more is to be expected soon: no workflow should stand still for an account's pause."""
    refused = facts.state is LookupState.REFUSED and facts.reason in _FINAL
    return refused or facts.state is LookupState.KNOWN


def _word(reply: _Reply) -> str:
    if reply.facts is not None and reply.facts.reachability is not Reachability.UNKNOWN:
        return ends.DONE
    words = {ends.BUDGET, ends.BAD_PHONE, ends.NO_PHONE, ends.GONE, ends.REMOVED}
    return reply.why if reply.why in words else ends.NOTHING
