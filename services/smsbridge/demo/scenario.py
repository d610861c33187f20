"""The demo from start to end: install, register, send in every way, wait for the last status, report."""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from smsbridge.api.v1 import status_pb2
from smsbridge.core import errors
from smsbridge.core.message import Route
from smsbridge.demo import orders, stack
from smsbridge.demo.numbers import Numbers, NumbersReport
from smsbridge.demo.report import Report, build, delivered_by_channel
from smsbridge.demo.watch import Watch
from smsbridge.rpc import clients
from smsbridge.runtime import rpc
from smsbridge.sandbox.client import expected_portal_status
from smsbridge.sandbox.orders import BroadcastOrder, MessageOrigin, SendOrder
from smsbridge.sandbox.reports import RowReport
from smsbridge.sandbox.settings import Profile

_REGISTER_SECONDS = 30.0
_METRICS_SECONDS = 15.0
_PAGE = 10_000
_ASKED_AT_ONCE = 16
_FAILED = ("undelivered", "failed")


async def run(*, broadcast: int, seconds: float, console: Console) -> Report:
    """`seconds`: when to stop waiting and report. Everything it starts is gone when it returns."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="smsbridge-demo-") as directory:
        console.print("Starting the sandbox and `smsbridge run all` ...")
        async with stack.running(Path(directory)) as running:
            demo = _Demo(running, console, broadcast=broadcast, started=started)
            await demo.install()
            await demo.numbers()
            await demo.send()
            await demo.wait(deadline=started + seconds)
            return await demo.report()


class _Demo:
    def __init__(self, running: stack.Stack, console: Console, *, broadcast: int, started: float) -> None:
        self._stack = running
        self._sandbox = running.sandbox
        self._console = console
        self._phones = orders.broadcast_phones(broadcast)
        self._started = started
        self._broadcast_id = ""
        self._numbers: NumbersReport | None = None

    async def install(self) -> None:
        """As an administrator does: the install URL to the portal, the callback URL to SMSC."""
        install_url = ""
        for plan in orders.PROVIDERS:
            name = f"{orders.NAMESPACE}/{plan.name}"
            shown = await stack.until(
                lambda name=name: self._stack.provider(name),  # type: ignore[misc]
                what=f"provider {name}",
                directory=self._stack.directory,
            )
            await self._sandbox.change_account(plan.login, callback={"url": shown["callbackUrl"]})
            install_url = shown["installUrl"]
        self._console.print(f"Installing the application in {orders.DOMAIN} ...")
        await stack.until(
            lambda: self._installed(install_url),
            what="the gateway's door",
            directory=self._stack.directory,
            seconds=_REGISTER_SECONDS,
        )
        await stack.until(
            self._registered,
            what="the registration in the portal",
            directory=self._stack.directory,
            seconds=_REGISTER_SECONDS,
        )
        self._console.print(f"Registered: {', '.join(plan.code for plan in orders.PROVIDERS)}")

    async def _installed(self, url: str) -> bool:
        """The gateway sees a new provider within a second; what is posted before that finds no door."""
        report = await self._sandbox.install(orders.DOMAIN, url=url)
        return all(post.status == 200 for post in report.posts)

    async def _registered(self) -> bool:
        senders = await self._sandbox.senders(orders.DOMAIN)
        codes = {sender["code"].lower() for of_application in senders.values() for sender in of_application}
        return codes >= {plan.code.lower() for plan in orders.PROVIDERS}

    async def numbers(self) -> None:
        self._numbers = await Numbers(self._stack, self._console).run()

    async def send(self) -> None:
        for one in orders.SINGLES:
            self._console.print(f"Sending {one.title}")
            order = SendOrder(
                code=one.code, origin=one.origin, phone=one.phone, text=one.text, author_id=one.author
            )
            await self._sandbox.send(orders.DOMAIN, order)
        self._console.print(f"Sending a marketing letter to {len(self._phones):,} numbers".replace(",", " "))
        letter = BroadcastOrder(
            code=orders.PROVIDERS[0].code,
            origin=MessageOrigin.MARKETING,
            phones=self._phones,
            text=orders.BROADCAST_TEXT,
        )
        self._broadcast_id = (await self._sandbox.broadcast(orders.DOMAIN, letter)).broadcast_id

    async def wait(self, *, deadline: float) -> None:
        """Until every message is final and its status is in the portal, or the time is over."""
        before = 2 * len(orders.NOT_ON_VIBER)
        total = before + len(self._phones) + len(orders.SINGLES)
        async with rpc.channel(self._stack.address("status")) as channel:
            with Watch(self._console, total=total) as watch:
                while time.monotonic() < deadline:
                    posted = await self._sandbox.broadcast_progress(self._broadcast_id)
                    ledger = await _ledger(clients.StatusClient(channel))
                    summary = await self._sandbox.summary(orders.DOMAIN)
                    shown = before + len(orders.SINGLES) + posted.posted
                    watch.show(posted=shown, ledger=ledger, summary=summary)
                    if posted.done and summary.written >= total and watch.final(ledger) >= total:
                        return
                    await asyncio.sleep(1)

    async def report(self) -> Report:
        rows = await self._rows()
        async with rpc.channel(self._stack.address("status")) as channel:
            client = clients.StatusClient(channel)
            ledger = await client.get_ledger()
            reasons = await _reasons(client, [row for row in rows if row.status in _FAILED])
        return build(
            expected=self._expected(),
            rows=rows,
            ledger=ledger,
            smsc=[await self._sandbox.ledger(plan.login) for plan in orders.PROVIDERS],
            traffic=await self._sandbox.traffic(orders.DOMAIN),
            handovers=await self._sandbox.handovers(orders.DOMAIN),
            metrics=await self._metrics(ledger),
            reasons=reasons,
            numbers=self._numbers,
            seconds=time.monotonic() - self._started,
        )

    async def _metrics(self, ledger: status_pb2.GetLedgerResponse) -> str:
        """The page of metrics, once it has caught up with the ledger: figures in it are some seconds old."""
        delivered = sum(one.final["delivered"] for one in ledger.ledgers if "delivered" in one.final)
        deadline = time.monotonic() + _METRICS_SECONDS
        while True:
            page = await self._stack.metrics()
            if sum(delivered_by_channel(page).values()) >= delivered or time.monotonic() > deadline:
                return page
            await asyncio.sleep(1)

    def _expected(self) -> list[tuple[str, str]]:
        """Phone and portal status of every message that was posted."""
        letter = [(phone, Route.SMS, Profile.GUIDE) for phone in self._phones]
        singles = [(one.phone, one.route, one.profile) for one in orders.SINGLES]
        skipping = 2 * [(phone, Route.CASCADE, Profile.HTTP) for phone in orders.NOT_ON_VIBER]
        return [
            (phone, expected_portal_status(phone, route=route, profile=profile).value)
            for phone, route, profile in (*skipping, *singles, *letter)
        ]

    async def _rows(self) -> list[RowReport]:
        rows: list[RowReport] = []
        while True:
            page = await self._sandbox.rows(orders.DOMAIN, offset=len(rows), limit=_PAGE)
            rows += page
            if len(page) < _PAGE:
                return rows


async def _ledger(client: clients.StatusClient) -> status_pb2.GetLedgerResponse:
    """Empty where the status role is busy for a moment: the next look will tell."""
    try:
        return await client.get_ledger()
    except errors.Away:
        return status_pb2.GetLedgerResponse()


async def _reasons(client: clients.StatusClient, rows: Sequence[RowReport]) -> Counter[str]:
    """Why messages did not arrive, asked one by one, as a user does with `smsbridge message ID`."""
    found: Counter[str] = Counter()
    turn = asyncio.Semaphore(_ASKED_AT_ONCE)

    async def ask(row: RowReport) -> None:
        async with turn:
            record = await client.get_message(row.message_id)
        found[record.reason or "no reason kept"] += 1

    await asyncio.gather(*(ask(row) for row in rows))
    return found
