"""Calls the account's status handler: GET, form or JSON, signed, a few at a time, never again unless set so.

As in SMSC's account, the handler URL's own query may carry `charset`, `fmt=3` and
`md5=`, `sha1=` or `crc32=SECRET`.
"""

import asyncio
import hashlib
import json
import zlib
from collections import Counter, deque
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote_plus, urlsplit

import aiohttp
import yarl

from smsbridge.sandbox import faults, phones, reports
from smsbridge.sandbox.clock import Clock, moscow
from smsbridge.sandbox.faults import FaultKind
from smsbridge.sandbox.settings import CallbackMethod, Profile, Signature
from smsbridge.sandbox.smsc_account import Account, Message

_TYPES = {phones.Kind.SMS: "0", phones.Kind.HLR: "4", phones.Kind.VIBER: "10", phones.Kind.CASCADE: "10"}


class Callbacks:
    def __init__(self, clock: Clock, *, connections: int) -> None:
        self._clock = clock
        self._connections = connections
        self._queue: deque[tuple[Account, dict[str, str], int]] = deque()
        self._held: dict[str, deque[dict[str, str]]] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._busy = 0  # workers that will look at the queue again
        self._session: aiohttp.ClientSession | None = None
        self._results: dict[str, Counter[str]] = {}

    def status_changed(self, account: Account, message: Message, *, status: int, err: int, at: float) -> None:
        if account.settings.callback.url:
            self.send(account, status_fields(account, message, status=status, err=err, at=at))

    def send(self, account: Account, fields: dict[str, str]) -> None:
        """Signs and queues one call; the account's faults may lose, delay, repeat or reorder it."""
        fields = {**signature(account, fields), **fields}
        fault = account.faults.pick(_FAULTS)
        kind = fault.kind if fault is not None else None
        if fault is None or kind is FaultKind.DUPLICATE_CALLBACKS:
            for _ in range(1 if fault is None else 2):
                self._put(account, fields)
            self._count(account, "repeated", 0 if fault is None else 1)
            self._release(account)
        elif kind is FaultKind.LOSE_CALLBACKS:
            self._count(account, "lost", 1)
        elif kind is FaultKind.DELAY_CALLBACKS:
            self._clock.later(fault.seconds, self._put, account, fields)
        else:
            self._held.setdefault(account.settings.login, deque()).append(fields)
            self._clock.later(fault.seconds, self._release, account)

    def report(self, account: Account) -> reports.CallbackReport:
        results = dict(self._results.get(account.settings.login, {}))
        return reports.CallbackReport(
            waiting=sum(1 for owner, _, _ in self._queue if owner is account),
            lost=results.pop("lost", 0),
            repeated=results.pop("repeated", 0),
            by_result=results,
        )

    async def close(self) -> None:
        self._queue.clear()
        for worker in list(self._workers):
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def _release(self, account: Account) -> None:
        held = self._held.get(account.settings.login)
        while held:
            self._put(account, held.popleft())

    def _put(self, account: Account, fields: dict[str, str], attempt: int = 1) -> None:
        self._queue.append((account, fields, attempt))
        if self._busy < self._connections:
            self._busy += 1
            worker = asyncio.get_running_loop().create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def _work(self) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        try:
            while self._queue:
                await self._take(self._session, *self._queue.popleft())
        finally:
            self._busy -= 1

    async def _take(
        self, session: aiohttp.ClientSession, account: Account, fields: dict[str, str], attempt: int
    ) -> None:
        result = await self._call(session, account, fields)
        self._count(account, result, 1)
        settings = account.settings.callback
        if not result.startswith("2") and attempt < settings.attempts:
            self._clock.later(settings.retry_seconds, self._put, account, fields, attempt + 1)

    async def _call(self, session: aiohttp.ClientSession, account: Account, fields: Mapping[str, str]) -> str:
        """The HTTP status, or one word for why there is none."""
        settings = account.settings.callback
        method, url, body, content_type = compose(
            settings.url, _method(account), fields, charset=_charset(settings.url)
        )
        try:
            async with session.request(
                method,
                yarl.URL(url, encoded=True),
                data=body,
                headers={"Content-Type": content_type} if body is not None else None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=settings.timeout_seconds),
            ) as response:
                await response.read()
                return str(response.status)
        except TimeoutError:
            return "timeout"
        except aiohttp.ClientConnectorError:
            return "refused"
        except (aiohttp.ClientError, OSError, ValueError):
            return "broken"

    def _count(self, account: Account, result: str, times: int) -> None:
        if times:
            self._results.setdefault(account.settings.login, Counter())[result] += times


_FAULTS = frozenset(
    {
        faults.FaultKind.LOSE_CALLBACKS,
        faults.FaultKind.DELAY_CALLBACKS,
        faults.FaultKind.DUPLICATE_CALLBACKS,
        faults.FaultKind.REORDER_CALLBACKS,
    }
)


def status_fields(account: Account, message: Message, *, status: int, err: int, at: float) -> dict[str, str]:
    if account.profile is Profile.GUIDE:
        fields = {"id": str(message.public_id), "status": str(status)}
        if account.settings.callback.with_phone:
            fields["phone"] = message.phone
        return fields
    fields = {
        "id": str(message.smsc_id),
        "phone": message.phone,
        "status": str(status),
        "time": moscow(at),
        "ts": str(int(at)),
        "err": str(err),
        "type": _TYPES[message.kind],
    }
    if message.kind is phones.Kind.HLR and status > 0:
        fields.update(look_up_fields(message, status))
    return fields


def look_up_fields(message: Message, status: int) -> dict[str, str]:
    """What the HLR knows: the operator of registration always, the SIM only of a number that is alive."""
    carrier = phones.carrier(message.phone)
    alive = status == 1
    return {
        "imsi": f"{carrier.mccmnc}{message.phone[-10:]}" if alive else "",
        "msc": f"7900{message.phone[-7:]}" if alive else "",
        "mcc": carrier.mcc,
        "mnc": carrier.mnc,
        "cn": "Russia",
        "net": carrier.name,
        "rcn": "",
        "rnet": "",
    }


def _options(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def _method(account: Account) -> CallbackMethod:
    settings = account.settings.callback
    return CallbackMethod.JSON if _options(settings.url).get("fmt") == "3" else settings.method


def _charset(url: str) -> str:
    wanted = _options(url).get("charset", "").lower()
    return wanted if wanted in {"utf-8", "koi8-r"} else "windows-1251"


def signature(account: Account, fields: Mapping[str, str]) -> dict[str, str]:
    """The parameter that proves the call: over id, phone and status, or of an incoming SMS or call."""
    settings = account.settings.callback
    algorithm, secret = settings.algorithm, settings.secret
    for name, value in _options(settings.url).items():
        if value and name in {item.value for item in Signature}:
            algorithm, secret = Signature(name), value
    if not secret:
        return {}
    names = ("id", "phone", "status")
    if "waitcall" in fields:
        names = ("phone", "ts", "")
    elif "mes" in fields:
        names = ("phone", "mes", "to")
    text = ":".join([*(fields.get(name, "") for name in names if name), secret])
    signed = text.encode(_charset(settings.url), "replace")
    if algorithm is Signature.CRC32:
        return {"crc32": f"{zlib.crc32(signed):08x}"}
    return {algorithm.value: hashlib.new(algorithm.value, signed, usedforsecurity=False).hexdigest()}


def compose(
    url: str, method: CallbackMethod, fields: Mapping[str, str], *, charset: str
) -> tuple[str, str, bytes | None, str]:
    """Verb, URL, body and content type of one call."""
    if method is CallbackMethod.JSON:
        return "POST", url, json.dumps(fields, ensure_ascii=False).encode(), "application/json"
    form = "&".join(
        f"{name}={quote_plus(value, encoding=charset, errors='replace')}" for name, value in fields.items()
    )
    if method is CallbackMethod.FORM:
        return "POST", url, form.encode(), "application/x-www-form-urlencoded"
    return "GET", f"{url}{'&' if urlsplit(url).query else '?'}{form}", None, ""
