"""A portal that changes or fails while statuses are written: every row comes right, and nothing goes back."""

import asyncio
import secrets
from pathlib import Path
from typing import Any

import pytest

from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.sandbox.orders import InstallOrder, UninstallOrder
from smsbridge.sandbox.portal import Application, Portal
from tests.flow import harness

pytestmark = pytest.mark.slow

RENAMED = "renamed.bitrix24.ru"
PARKED_SECONDS: float = harness.SHORT["status"]["portal_parked_seconds"]
FAULTS = (
    Fault(kind=FaultKind.QUERY_LIMIT, call="batch", count=2),
    Fault(kind=FaultKind.OVERLOAD, call="batch", count=1),
    Fault(kind=FaultKind.TIMEOUT_AFTER_ACCEPT, call="batch", count=2, seconds=2.0),
    Fault(kind=FaultKind.RESET_AFTER_ACCEPT, call="batch", count=2),
    Fault(kind=FaultKind.HTTP_502_THEN_ACCEPT_AFTER, call="batch", count=2, seconds=1.0),
    Fault(kind=FaultKind.HTML, call="batch", count=1, accept=True),
    Fault(kind=FaultKind.COMMAND_ERROR, call="messageservice.message.status.update", count=7),
)
ERRORS = {
    "QUERY_LIMIT_EXCEEDED": 2,
    "OVERLOAD_LIMIT": 1,
    "timeout_after_accept": 2,
    "reset_after_accept": 2,
    "http_502_then_accept_after": 2,
    "html": 1,
    "ERROR_MESSAGE_NOT_FOUND": 7,
}


def slow_portal(**changes: Any) -> dict[str, Any]:
    """One batch at a time, three a second: time enough for something to happen in between."""
    return {**harness.SHORT, "portal": {"requests_per_second": 3.0, "burst": 6, **changes}}


def portal_of(stack: harness.Stack) -> Portal:
    (found,) = stack.sandbox.portals.by_domain.values()
    return found


def application_of(stack: harness.Stack) -> Application:
    (found,) = portal_of(stack).applications.values()
    return found


async def written(stack: harness.Stack, least: int) -> None:
    async def enough() -> bool:
        return sum(row.writes > 0 for row in portal_of(stack).rows.values()) >= least

    await harness.until(enough, seconds=60, what=stack.log_tail)


async def books_show(stack: harness.Stack, **wanted: int) -> None:
    async def shown() -> bool:
        books = await stack.unaccounted()
        return all(books.get(name, 0) == count for name, count in wanted.items())

    await harness.until(shown, seconds=60, what=stack.log_tail)


async def nothing_went_wrong(stack: harness.Stack, domain: str = harness.DOMAIN) -> None:
    assert (await stack.smsc_ledger()).sent_twice == 0
    assert (await stack.control.summary(domain)).regressions == 0
    await books_show(stack, unaccounted=0)


async def test_a_portal_that_refuses_hangs_and_fails_gets_every_status(tmp_path: Path) -> None:
    """Also where it did what was asked and did not say so, or does it a second later."""
    config = {
        **harness.SHORT,
        "portal": {"requests_per_second": 20.0, "back_off_seconds": 0.3, "overload_seconds": 2.0},
    }
    async with harness.running(tmp_path, config=config) as stack:
        for fault in FAULTS:
            await stack.control.portal_fault(harness.DOMAIN, fault)
        await stack.posted(await stack.broadcast(harness.mixed_phones(600)))
        await stack.rows_right(seconds=90)
        errors = (await stack.control.traffic(harness.DOMAIN)).by_error
        assert {name: errors.get(name, 0) for name in ERRORS} == ERRORS
        await nothing_went_wrong(stack)


async def test_an_update_s_new_token_is_held_until_it_is_known(tmp_path: Path) -> None:
    """The portal gives its application another token; messages with it come before ONAPPUPDATE, others still
    carry the old one.
    """
    phones = harness.good_phones(90)
    early, held, late = phones[:60], phones[60:80], phones[80:]
    async with harness.running(tmp_path) as stack:
        letter = await stack.broadcast(early, text="Старый ключ", per_second=20)
        application_of(stack).application_token = secrets.token_hex(16)
        await stack.posted(await stack.broadcast(held, text="Новый ключ"))
        await books_show(stack, held=len(held))
        sent = {message.phone for message in await stack.control.messages("guide")}
        assert sent.isdisjoint(phone.lstrip("+") for phone in held)
        answer = await stack.control.update(harness.DOMAIN, InstallOrder())
        assert {post.status for post in answer.posts} == {200}
        await stack.posted(letter)
        await registered(stack)
        await stack.posted(await stack.broadcast(late, text="Новый ключ"))
        await stack.rows_right(seconds=60)
        assert (await stack.smsc_ledger()).messages == len(phones)
        await books_show(stack, held=0, delivered=len(phones))
        await nothing_went_wrong(stack)


async def registered(stack: harness.Stack) -> None:
    """The sender is shown, and the uninstall event is bound."""

    async def done() -> bool:
        application = application_of(stack)
        return bool(application.senders and application.bindings)

    await harness.until(done, seconds=60, what=stack.log_tail)


async def test_an_uninstalled_portal_is_left_alone_until_it_is_back(tmp_path: Path) -> None:
    phones = harness.mixed_phones(300, without=frozenset({91, 92, 94, 95, 96}))
    async with harness.running(tmp_path, config=slow_portal()) as stack:
        await registered(stack)
        await stack.posted(await stack.broadcast(phones))
        await written(stack, 50)
        answer = await stack.control.uninstall(harness.DOMAIN, UninstallOrder())
        assert [post.status for post in answer.posts] == [200]
        await books_show(stack, sent=0, sending=0, waiting=0)

        async def shown() -> bool:
            return "Uninstalled" in str(await stack.shown("smsc"))

        await harness.until(shown, seconds=30, what=stack.log_tail)
        before = await stack.control.traffic(harness.DOMAIN)
        assert 50 <= (await stack.control.summary(harness.DOMAIN)).written < len(phones)
        await asyncio.sleep(PARKED_SECONDS * 3)
        assert (await stack.control.traffic(harness.DOMAIN)).requests == before.requests
        await stack.install("")
        await stack.rows_right(seconds=60)
        await nothing_went_wrong(stack)


async def test_a_renamed_portal_is_followed_and_a_lost_token_is_renewed_once(tmp_path: Path) -> None:
    """Both in the middle of writing; the old name is gone as soon as the new one was told."""
    plan = harness.Plan(spec={"portal": {"endpoint": ""}})
    phones = harness.good_phones(600)
    async with harness.running(tmp_path, plan, config=slow_portal()) as stack:
        await stack.posted(await stack.broadcast(phones))
        await written(stack, 50)
        await stack.control.rename(harness.DOMAIN, RENAMED)
        await written(stack, 200)
        stack.sandbox.portals.moved.clear()
        await written(stack, 300)
        refreshed = (await stack.control.oauth_results()).get("ok", 0)
        await stack.control.expire_tokens(RENAMED)

        async def right() -> bool:
            return (await stack.control.summary(RENAMED)).by_status == {"delivered": len(phones)}

        await harness.until(right, seconds=60, what=stack.log_tail)
        assert (await stack.control.oauth_results()) == {"ok": refreshed + 1}
        assert (await stack.control.traffic(RENAMED)).by_error["expired_token"] >= 1
        await nothing_went_wrong(stack, RENAMED)
