"""The client of SMSC.ru: one per process, for all accounts.

Everything is a POST with a form, credentials in the body. It never repeats a request by itself; the one
exception is a backup host, and only where provably nothing left us. When to ask again is the roles' business.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import urlsplit

import structlog

from smsbridge.core.number import Carrier
from smsbridge.core.provider import Profile
from smsbridge.smsc import answers, errors, reading, transport, values, wire
from smsbridge.smsc.account import Account

logger = structlog.get_logger()


def _backup_hosts() -> Mapping[str, tuple[str, ...]]:
    return {"https://smsc.ru": ("https://www2.smsc.ru",)}


@dataclass(frozen=True, slots=True)
class ClientSettings:
    total_timeout_seconds: float = 20.0  # of a send, over all hosts; a lease outlasts it by 10 s
    connect_timeout_seconds: float = 5.0  # name, connection and TLS of one host
    status_timeout_seconds: float = 10.0  # of a question: status, balance, price
    keep_alive_seconds: float = 4.0  # shorter than servers' usual 5 s and more, or they close while we write
    max_answer_bytes: int = 1024 * 1024  # a hundred numbers take about 10 KB
    # Base URL -> others of the same service, for profile http; www2 is the one that SMSC documents.
    backup_hosts: Mapping[str, tuple[str, ...]] = field(default_factory=_backup_hosts)


class SmscClient:
    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._transport = transport.Transport(
            connect_timeout_seconds=settings.connect_timeout_seconds,
            keep_alive_seconds=settings.keep_alive_seconds,
            max_answer_bytes=settings.max_answer_bytes,
        )

    async def close(self) -> None:
        await self._transport.close()

    async def send(
        self, account: Account, body: bytes, *, before_first_byte: Callable[[], None] | None = None
    ) -> answers.SendAnswer:
        """Posts a form made by `wire.encode`. Never raises for what SMSC or the network did.

        `before_first_byte` runs on a connected socket just before the request is written; if it raises,
        nothing is written and the answer is `Unsent("aborted")`. Over all hosts it takes
        `total_timeout_seconds` at most.
        """
        text = await self._post_once(account, "send", body, before_first_byte=before_first_byte)
        if not isinstance(text, str):
            return text
        return reading.read_send(account.profile, text, wire.numbers_in(body))

    async def look_up(
        self, account: Account, body: bytes, *, before_first_byte: Callable[[], None] | None = None
    ) -> answers.LookupAnswer:
        """Posts a form made by `wire.encode_lookup` to hlr.php. Profile guide only; in profile http a look-up
        is a send. Never raises, and `before_first_byte` is, as with `send`.
        """
        text = await self._post_once(account, "hlr", body, before_first_byte=before_first_byte)
        return reading.read_lookup(text) if isinstance(text, str) else text

    async def _post_once(
        self,
        account: Account,
        script: str,
        body: bytes,
        *,
        before_first_byte: Callable[[], None] | None,
    ) -> str | answers.Unsent | answers.Unknown:
        """The text of the answer to what must not be posted twice."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.total_timeout_seconds
        form = wire.with_credentials(account, body)
        reason = "connect_timeout"
        for base_url in self._hosts(account):
            try:
                raw = await self._transport.post(
                    account.url(script, base_url=base_url),
                    form,
                    timeout_seconds=max(0.0, deadline - loop.time()),
                    before_first_byte=before_first_byte,
                )
            except transport.Broken as exc:
                return answers.Unknown(exc.reason)
            except transport.NotSent as exc:
                reason = exc.reason
                logger.info("smsc_send_not_sent", host=urlsplit(base_url).hostname, reason=reason)
                if reason == "aborted" or loop.time() >= deadline:
                    break
            else:
                return values.decode(raw)
        return answers.Unsent(reason)

    async def status(
        self, account: Account, pairs: Sequence[tuple[str, str]], *, details: bool = False
    ) -> list[answers.StatusAnswer]:
        """The state of every (smsc_id, MSISDN), in order. `details` asks for HLR's country, operator and
        region too.

        Raises `SmscAway` where not every pair was answered for, `SmscRejected` for an error code (9: asked
        too often).
        """
        if not pairs:
            return []
        text = await self._ask(account, "status", wire.encode_status(pairs, details=details))
        return reading.read_statuses(text, pairs)

    async def balance(self, account: Account) -> answers.Balance:
        """Raises as `status` does."""
        return reading.read_balance(await self._ask(account, "balance", wire.encode_balance()))

    async def cost(self, account: Account, *, msisdn: str, text: str) -> Decimal:
        """The price of one SMS, in roubles; nothing is sent. Profile http only. Raises as `status` does."""
        form = wire.encode_cost(account, phone=msisdn, text=text)
        return reading.read_cost(await self._ask(account, "send", form))

    async def lookup_cost(self, account: Account, *, msisdn: str) -> Decimal:
        """The price of one look-up, in roubles; none is made. Profile http only. Raises as `status` does."""
        form = wire.encode_lookup_cost(account, phone=msisdn)
        return reading.read_cost(await self._ask(account, "send", form))

    async def carriers(self, account: Account, msisdns: Sequence[str]) -> dict[str, Carrier]:
        """Operator and region of each, without the HLR; who is not in the answer is left out.

        Raises as `status` does. Code 3 means that one of the numbers is unknown, and has nothing to do with
        money; 9 that more than 100 requests were made in a minute, or more than 3 equal ones.
        """
        text = await self._ask(account, "info", wire.encode_carriers(msisdns))
        return reading.read_carriers(text, msisdns)

    def _hosts(self, account: Account) -> tuple[str, ...]:
        base_url = account.base_url.rstrip("/")
        if account.profile is not Profile.HTTP:
            return (base_url,)
        return (base_url, *self._settings.backup_hosts.get(base_url, ()))

    async def _ask(self, account: Account, script: str, form: bytes) -> str:
        try:
            raw = await self._transport.post(
                account.url(script),
                wire.with_credentials(account, form),
                timeout_seconds=self._settings.status_timeout_seconds,
            )
        except (transport.NotSent, transport.Broken) as exc:
            raise errors.SmscAway(exc.reason) from exc
        return values.decode(raw)
