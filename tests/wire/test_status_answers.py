"""Answers to workflow steps on their way to a portal stand-in that runs the steps: values, order, once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from typer.testing import CliRunner

from smsbridge import cli
from smsbridge.api.v1 import types_pb2
from smsbridge.bitrix24 import bizproc, client, limiter, steps, transport
from smsbridge.bitrix24.bizproc import StepKind
from smsbridge.core.message import Reason, ReportTo
from smsbridge.sandbox.client import SandboxClient
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.sandbox.orders import RunOrder
from smsbridge.sandbox.reports import StepReport
from smsbridge.sandbox.server import Sandbox
from smsbridge.sandbox.settings import RequestLimit
from smsbridge.store import connection, embedded, tags
from tests.store.journey import Journey
from tests.wire import status_lab
from tests.wire.senders import until
from tests.wire.status_lab import Lab

NOBODY = "http://127.0.0.1:9/robots"  # a run's post gets nowhere: tests submit by themselves
CODE = steps.code_of("smsc", steps.Step.SEND, StepKind.ROBOT)
ANSWERS, STATUSES = "bizproc.event.send", "messageservice.message.status.update"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox.running() as running:
        for portal in running.portals.by_domain.values():
            portal.requests.limit = RequestLimit(leak_per_second=200)
            await register(running)
        yield running


@pytest.fixture
async def store(valkey: embedded.EmbeddedValkey) -> AsyncIterator[connection.Store]:
    """What is under way rests for longer than a slow machine takes to settle it: so once is once."""
    async with status_lab.quick_store(valkey, portal_flight_ms=3000) as made:
        yield made


@pytest.fixture
async def lab(store: connection.Store, sandbox: Sandbox) -> AsyncIterator[Lab]:
    await status_lab.install(store, sandbox)
    async with status_lab.running(store, sandbox, status_lab.provider(sandbox)) as running:
        yield running


async def register(sandbox: Sandbox) -> None:
    """Our robot, as the provisioner registers it."""
    token, endpoint = status_lab.admin_token(sandbox)
    spec = steps.spec("smsc", steps.Step.SEND, StepKind.ROBOT, handler=NOBODY)
    async with transport.Transport() as http:
        caller = client.Bitrix24Client(http, limiter.LocalLimiter(), client.ClientSettings(sandbox=True))
        api = client.PortalApi(caller, "m", client.FixedToken(client.Token(token, 0, endpoint)))
        adding = bizproc.add_command(StepKind.ROBOT, spec)
        await api.call(adding.method, adding.params, priority=limiter.Priority.TOKENS)
    for portal in sandbox.portals.by_domain.values():
        portal.seen.methods.clear()


class Steps:
    """Runs of the robot, through the sandbox's control API."""

    def __init__(self, sandbox: Sandbox, control: SandboxClient) -> None:
        self._control = control
        self._domain = next(iter(sandbox.portals.by_domain))

    async def run(self, *, timeout_seconds: int = 0) -> StepReport:
        return await self._control.run(self._domain, RunOrder(code=CODE, timeout_seconds=timeout_seconds))

    async def of(self, step: StepReport) -> StepReport:
        found = await self._control.steps(self._domain)
        return next(one for one in found if one.token == step.token)

    async def answered(self, step: StepReport, *, times: int = 1) -> StepReport:
        async def done() -> bool:
            return (await self.of(step)).answers >= times

        await until(done)
        return await self.of(step)

    async def times_out(self, step: StepReport) -> None:
        await self._control.advance(61)
        assert (await self.of(step)).timed_out


@pytest.fixture
async def runs(sandbox: Sandbox) -> AsyncIterator[Steps]:
    async with SandboxClient(sandbox.control_url) as control:
        yield Steps(sandbox, control)


async def taken(way: Journey, step: StepReport, number: int = 1, **changes: Any) -> str:
    fields = {"report_to": ReportTo.ROBOT, "event_token": step.token, **changes}
    [mid] = await way.accepted([number], **fields)
    return mid


async def sent(way: Journey, step: StepReport, number: int = 1, **changes: Any) -> str:
    mid = await taken(way, step, number, **changes)
    await way.pump()
    return mid


async def counted(lab: Lab, name: str, result: str, expected: int) -> None:
    labels = {"namespace": "crm", "provider": "smsc", "result": result}
    await lab.figures(expected, f"smsbridge_portal_{name}_total", **labels)


async def test_the_step_gets_how_its_message_ended(lab: Lab, runs: Steps) -> None:
    step = await runs.run()
    mid = await sent(lab.way, step)
    await lab.store.redis.hset(f"{tags.provider(lab.way.uid)}m:{mid}", "a1:cost", "4.00")
    await lab.way.say(mid, 1)
    told = await runs.answered(step)
    assert told.values == {
        "status": "delivered",
        "channel": "sms",
        "price": "4.00",
        "message_id": mid,
        "reason": "",
    }
    assert (told.waits, told.timed_out, told.answers) == (False, False, 1)
    await lab.nothing_waits()
    assert await lab.way.story(mid) == ["accepted", "sending", "sent", "receipt", "step_answered"]
    await counted(lab, "answers", "written", 1)
    assert lab.portal.seen.methods == {ANSWERS: 1}


async def test_a_message_that_cannot_be_sent_answers_with_the_reason(lab: Lab, runs: Steps) -> None:
    step = await runs.run()
    mid = await taken(lab.way, step, recipient="call me")
    told = await runs.answered(step)
    assert told.values == {
        "status": "failed",
        "channel": "",
        "price": "",
        "message_id": mid,
        "reason": "BadNumber",
    }


async def test_a_step_that_does_not_wait_for_the_end_is_told_at_once_and_no_more(
    lab: Lab, runs: Steps
) -> None:
    step = await runs.run()
    mid = await taken(lab.way, step, report_to=ReportTo.ROBOT_AT_ONCE)
    told = await runs.answered(step)
    assert told.values == {"status": "queued", "channel": "", "price": "", "message_id": mid, "reason": ""}
    await lab.way.pump()
    await lab.way.say(mid, 22)
    await lab.way.say(mid, 1)
    await lab.nothing_waits()
    assert (await runs.of(step)).answers == 1


async def test_no_step_is_told_before_the_end(lab: Lab, runs: Steps) -> None:
    step, other = await runs.run(), await runs.run()
    mid = await sent(lab.way, step)
    await taken(lab.way, other, 2, recipient="call me")
    await runs.answered(other)  # so the writer has looked
    assert (await runs.of(step)).answers == 0
    await lab.way.say(mid, 20)
    assert (await runs.answered(step)).values["status"] == "undelivered"


async def test_once_over_a_restart_of_the_role(
    store: connection.Store, sandbox: Sandbox, runs: Steps
) -> None:
    await status_lab.install(store, sandbox)
    made = status_lab.provider(sandbox)
    before, after = await runs.run(), await runs.run()
    async with status_lab.running(store, sandbox, made) as lab:
        told, waiting = await sent(lab.way, before), await sent(lab.way, after, 2)
        await lab.way.say(told, 22)
        await runs.answered(before)
        await lab.nothing_waits()
    way = Journey(store, made)
    await way.say(waiting, 1)  # nobody is there
    async with status_lab.running(store, sandbox, made) as lab:
        await way.say(told, 1)
        await runs.answered(after)
        await lab.nothing_waits()
    assert [(await runs.of(step)).answers for step in (before, after)] == [1, 1]
    assert [(await runs.of(step)).values["status"] for step in (before, after)] == ["failed", "delivered"]


async def test_an_answer_cut_off_by_a_stop_goes_again_and_counts_once(
    store: connection.Store, sandbox: Sandbox, runs: Steps
) -> None:
    await status_lab.install(store, sandbox)
    made = status_lab.provider(sandbox)
    step = await runs.run()
    portal = next(iter(sandbox.portals.by_domain.values()))
    portal.faults.add(Fault(kind=FaultKind.TIMEOUT_AFTER_ACCEPT, count=1, seconds=30))
    async with status_lab.running(store, sandbox, made, stop_grace_seconds=0.1) as lab:
        mid = await sent(lab.way, step)
        await lab.way.say(mid, 22)
        await runs.answered(step)  # the portal has it, we do not know
    async with status_lab.running(store, sandbox, made) as lab:
        await lab.way.say(mid, 1)  # the newest goes; the step keeps the first
        await runs.answered(step, times=2)
        await lab.nothing_waits()
        assert (await runs.of(step)).values["status"] == "failed"
        assert (await lab.way.story(mid)).count("step_answered") == 1


UNKNOWN = [
    Fault(kind=FaultKind.RESET_AFTER_ACCEPT, count=1),
    Fault(kind=FaultKind.HTML, count=1, accept=True),
    Fault(kind=FaultKind.HTTP_502_AFTER_ACCEPT, count=1),
]


@pytest.mark.parametrize("fault", UNKNOWN, ids=lambda f: f.kind)
async def test_an_unanswered_batch_goes_again_and_the_step_takes_one(
    lab: Lab, runs: Steps, fault: Fault
) -> None:
    lab.portal.faults.add(fault)
    step = await runs.run()
    mid = await sent(lab.way, step)
    await lab.way.say(mid, 1)
    told = await runs.answered(step, times=2)
    await lab.nothing_waits()
    assert (told.values["status"], told.waits) == ("delivered", False)
    story = await lab.way.story(mid)
    assert story[-2:] == ["portal_unanswered", "step_answered"]


TROUBLE = [
    Fault(kind=FaultKind.QUERY_LIMIT, count=3),
    Fault(kind=FaultKind.HTTP_500, count=1),
    Fault(kind=FaultKind.RESET_BEFORE_ACCEPT, count=1),
    Fault(kind=FaultKind.EXPIRED_TOKEN, count=1),
    Fault(kind=FaultKind.COMMAND_ERROR, count=2, error="INTERNAL_SERVER_ERROR"),
]


@pytest.mark.parametrize("fault", TROUBLE, ids=lambda f: f"{f.kind} {f.error}")
async def test_trouble_that_passes_costs_no_answer(lab: Lab, runs: Steps, fault: Fault) -> None:
    lab.portal.faults.add(fault)
    step = await runs.run()
    await lab.way.say(await sent(lab.way, step), 1)
    told = await runs.answered(step)
    await lab.nothing_waits()
    assert (told.values["status"], (await runs.of(step)).answers) == ("delivered", 1)


async def test_a_step_whose_wait_ended_first_takes_nothing(lab: Lab, runs: Steps) -> None:
    step = await runs.run(timeout_seconds=60)
    mid = await sent(lab.way, step)
    await runs.times_out(step)
    await lab.way.say(mid, 1)
    await runs.answered(step)
    await lab.nothing_waits()
    over = await runs.of(step)
    assert (over.values, over.answers) == ({"IsTimeout": 1}, 1)


async def test_a_step_that_the_portal_says_is_over_ends_the_matter(lab: Lab, runs: Steps) -> None:
    lab.portal.faults.add(Fault(kind=FaultKind.COMMAND_ERROR, count=1, call=ANSWERS, error="ACCESS_DENIED"))
    step = await runs.run()
    mid = await sent(lab.way, step)
    await lab.way.say(mid, 22)
    await lab.nothing_waits()
    record = await lab.client.get_message(mid)
    assert [event.what for event in record.events][-1] == "step_over"
    assert (record.portal_written, record.portal_wanted, record.next_step) == ("", "", "")
    assert record.step_told_at_ms > 0
    await counted(lab, "answers", "over", 1)
    await lab.way.say(mid, 1)
    await lab.nothing_waits()
    assert lab.portal.seen.methods[ANSWERS] == 1


async def test_what_the_portal_refuses_for_good_is_dropped_and_counted(lab: Lab, runs: Steps) -> None:
    lab.portal.faults.add(
        Fault(kind=FaultKind.COMMAND_ERROR, count=1, call=ANSWERS, error="ERROR_WRONG_WORKFLOW_ID")
    )
    step = await runs.run()
    mid = await sent(lab.way, step)
    await lab.way.say(mid, 1)
    await lab.nothing_waits()
    await counted(lab, "answers", "dropped", 1)
    told = (await lab.client.get_message(mid)).next_step
    assert told == "its workflow step is not told any more: the portal refused it (ERROR_WRONG_WORKFLOW_ID)"


@contextlib.asynccontextmanager
async def loaded(
    store: connection.Store, sandbox: Sandbox, runs: Steps, **changes: Any
) -> AsyncIterator[tuple[Lab, StepReport, list[str]]]:
    """Sixty statuses and, after them, one answer wait for a portal that we may not call yet.

    One batch at a time: of two that are under way either may get there first.
    """
    step = await runs.run()
    made = status_lab.provider(sandbox)
    async with status_lab.running(store, sandbox, made, portal_flights=1, **changes) as lab:
        found = await lab.shown(range(1, 61))
        for mid in found:
            await lab.way.say(mid, 1)
        await lab.way.say(await sent(lab.way, step, 61), 1)
        yield lab, step, found


async def test_answers_leave_before_statuses_and_in_one_batch_with_them(
    store: connection.Store, sandbox: Sandbox, runs: Steps
) -> None:
    async with loaded(store, sandbox, runs) as (lab, step, found):
        await status_lab.install(store, sandbox)
        await runs.answered(step)
        await lab.all_show(found, "delivered")
        await lab.nothing_waits()
        # The portal's books name methods in the order in which they were called first.
        assert list(lab.portal.seen.methods) == [ANSWERS, STATUSES]
        assert lab.portal.seen.methods == {ANSWERS: 1, STATUSES: 60}
        assert (lab.portal.seen.batches, lab.portal.seen.largest_batch) == (2, 50)
        await counted(lab, "answers", "written", 1)
        await counted(lab, "updates", "written", 60)


async def test_where_answers_may_not_be_given_statuses_go_on(
    store: connection.Store, sandbox: Sandbox, runs: Steps
) -> None:
    portal = next(iter(sandbox.portals.by_domain.values()))
    portal.faults.add(Fault(kind=FaultKind.INSUFFICIENT_SCOPE, call=ANSWERS))
    async with loaded(store, sandbox, runs) as (lab, step, found):
        await status_lab.install(store, sandbox)
        await lab.all_show(found, "delivered")  # two batches of them
        assert (await runs.of(step)).answers == 0
        portal.faults.clear()  # the application got the scope, and a minute has passed
        await lab.store.redis.hset(f"{tags.provider(lab.way.uid)}m:{61:032x}", "pf", 1)
        await lab.way.time_passes("steps")
        assert (await runs.answered(step)).values["status"] == "delivered"


@pytest.mark.parametrize(("stopped", "first"), [(ANSWERS, STATUSES), (STATUSES, ANSWERS)])
async def test_a_method_whose_time_is_used_up_does_not_stop_the_other(
    store: connection.Store, sandbox: Sandbox, runs: Steps, stopped: str, first: str
) -> None:
    portal = next(iter(sandbox.portals.by_domain.values()))
    portal.faults.add(Fault(kind=FaultKind.OPERATION_TIME_LIMIT, call=stopped))
    pause = 30.0 if stopped == ANSWERS else 0.1  # a stopped status method makes a portal rest as ever
    async with loaded(store, sandbox, runs, portal_retry_seconds=pause) as (lab, step, found):
        await status_lab.install(store, sandbox)
        if first == ANSWERS:
            await runs.answered(step)
            await landed(lab)
            asked = lab.portal.seen.methods[STATUSES]
            again = await runs.run()
            await lab.way.say(await sent(lab.way, again, 62), 1)
            await runs.answered(again)  # this batch leaves the statuses out
            assert {lab.row_of(mid).status for mid in found} == {"sent"}
            assert lab.portal.seen.methods[STATUSES] == asked
        else:
            await lab.all_show(found, "delivered")
            assert (await runs.of(step)).answers == 0
            assert lab.portal.seen.methods[ANSWERS] == 1


async def landed(lab: Lab) -> None:
    """What was under way is settled: a full batch, whose statuses were put back."""
    await counted(lab, "updates", "later", 49)


async def test_two_writers_answer_each_step_once(
    store: connection.Store, sandbox: Sandbox, runs: Steps, lab: Lab
) -> None:
    lab.portal.settings.latency_ms = 30
    async with status_lab.running(store, sandbox, lab.way.provider):
        found = [await runs.run() for _ in range(60)]
        mids = [await sent(lab.way, step, number) for number, step in enumerate(found, 1)]
        for mid in mids:
            await lab.way.say(mid, 1)
        await lab.nothing_waits()
    answered = [await runs.of(step) for step in found]
    assert {(step.answers, step.waits) for step in answered} == {(1, False)}
    assert [step.values["message_id"] for step in answered] == mids


async def test_a_removed_provider_s_steps_are_still_answered(lab: Lab, runs: Steps) -> None:
    """What waited fails, what is under way still ends."""
    queued, under_way = await runs.run(), await runs.run()
    last = await sent(lab.way, under_way, 2)
    waiting = await taken(lab.way, queued)
    await lab.registry.tombstone(lab.way.provider)
    await lab.way.box.cancel(lab.way.uid, waiting, state="failed", reason=Reason.PROVIDER_REMOVED)
    await lab.way.say(last, 1)
    told = await runs.answered(queued)
    assert (told.values["status"], told.values["reason"]) == ("failed", "ProviderRemoved")
    assert (await runs.answered(under_way)).values["status"] == "delivered"


async def test_the_message_says_what_its_step_was_told(lab: Lab, runs: Steps) -> None:
    step = await runs.run()
    mid = await sent(lab.way, step)
    before = await lab.client.get_message(mid)
    assert before.report_to == types_pb2.REPORT_TO_ROBOT
    assert (before.portal_written, before.portal_wanted, before.step_told_at_ms) == ("", "", 0)
    assert before.next_step.endswith("; its workflow step is told afterwards")
    lab.portal.faults.add(Fault(kind=FaultKind.QUERY_LIMIT))
    await lab.way.say(mid, 1)
    waiting = await lab.client.get_message(mid)
    assert (waiting.portal_written, waiting.portal_wanted) == ("", "delivered")
    assert waiting.next_step.startswith("its workflow step is told `delivered`")
    assert "told the workflow step: nothing yet, to be told: delivered" in await printed(lab, mid)
    lab.portal.faults.clear()
    await runs.answered(step)
    await lab.nothing_waits()
    after = await lab.client.get_message(mid)
    assert (after.portal_written, after.portal_wanted, after.next_step) == ("delivered", "", "")
    assert 0 <= after.step_told_at_ms - after.events[-1].at_ms < 1000
    shown = await printed(lab, mid)
    assert "told the workflow step: delivered at 20" in shown
    assert step.token not in shown + str(after)


async def printed(lab: Lab, mid: str) -> str:
    """`smsbridge message`."""
    arguments = ["message", mid, "--address", lab.status.address]
    result = await asyncio.to_thread(CliRunner().invoke, cli.app, arguments)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())
