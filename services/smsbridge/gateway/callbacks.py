"""SMSC's callbacks: which of what they hold is kept, and where it goes.

Every call with a valid key is answered 200, whatever it holds; only a false signature is refused, where the
account has a callback secret. Incoming SMS and call confirmations are counted and kept out.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum

from smsbridge.api.v1 import hlr_pb2, status_pb2
from smsbridge.core.provider import Provider
from smsbridge.gateway.metrics import GatewayMetrics
from smsbridge.gateway.service import Accepted, Accepting
from smsbridge.smsc import account as accounts
from smsbridge.smsc import callback

_MOST_DIGITS = 12


class Taken(StrEnum):
    """What one item of a call was, and what became of it; label values."""

    RECEIPT = "receipt"
    HLR_RESULT = "hlr_result"
    JOURNALLED = "journalled"
    DROPPED = "dropped"
    INCOMING = "incoming"
    CALL = "call"
    MALFORMED = "malformed"
    FALSE_SIGNATURE = "false_signature"
    LOST = "lost"


class Answer(StrEnum):
    OK = "ok"
    FORBIDDEN = "forbidden"
    UNAVAILABLE = "unavailable"


class Callbacks:
    def __init__(self, accepting: Accepting, metrics: GatewayMetrics, *, now_ms: Callable[[], int]) -> None:
        self._accepting = accepting
        self._metrics = metrics
        self._now_ms = now_ms

    async def take(
        self, provider: Provider, *, method: str, query: str, content_type: str, body: bytes
    ) -> Answer:
        """A receipt at any door of an account serves all its providers: it goes by the account's key."""
        account = accounts.of(provider.account)
        items = callback.parse(account.profile, method, query, content_type, body)
        if account.callback_secret and not all(_signed(item, account.callback_secret) for item in items):
            self._count(Taken.FALSE_SIGNATURE)
            return Answer.FORBIDDEN
        kept = await asyncio.gather(*(self._keep(item, provider, account.key) for item in items))
        for taken in kept:
            self._count(taken)
        return Answer.UNAVAILABLE if Taken.LOST in kept else Answer.OK

    async def _keep(self, item: callback.Callback, provider: Provider, account_key: str) -> Taken:
        if isinstance(item, callback.Incoming):
            return Taken.INCOMING
        if isinstance(item, callback.CallConfirmed):
            return Taken.CALL
        if isinstance(item, callback.Malformed):
            return Taken.MALFORMED
        try:
            if item.is_hlr:
                result = _hlr_result(item, account_key)
                done = await self._accepting.hlr_result(
                    result, provider_uid=provider.uid, door_at_ms=self._now_ms()
                )
                return _ENDS.get(done, Taken.HLR_RESULT)
            receipt = _receipt(item, account_key, received_at_ms=self._now_ms())
        except ValueError:  # a number or a character that no receipt of SMSC's has
            return Taken.MALFORMED
        done = await self._accepting.receipt(receipt, provider_uid=provider.uid)
        return _ENDS.get(done, Taken.RECEIPT)

    def _count(self, taken: Taken) -> None:
        self._metrics.callbacks.labels(taken.value).inc()


_ENDS = {
    Accepted.JOURNALLED: Taken.JOURNALLED,
    Accepted.DROPPED: Taken.DROPPED,
    Accepted.LOST: Taken.LOST,
}


def _signed(item: callback.Callback, secret: str) -> bool:
    """What cannot be read cannot be signed either, and is not worth a refusal: it is counted and kept out."""
    return isinstance(item, callback.Malformed) or callback.verify(item, secret)


def _receipt(item: callback.Receipt, account_key: str, *, received_at_ms: int) -> status_pb2.Receipt:
    """Raises ValueError for what does not fit."""
    return status_pb2.Receipt(
        account_key=account_key,
        smsc_id=item.smsc_id,
        msisdn=item.msisdn or "",
        code=item.code,
        err=_or(item.err, -1),
        ts=item.ts or 0,
        type=_or(item.type, -1),
        cost=money(item.cost),
        received_at_ms=received_at_ms,
    )


def _hlr_result(item: callback.Receipt, account_key: str) -> hlr_pb2.HlrResult:
    """Raises ValueError for what does not fit."""
    return hlr_pb2.HlrResult(
        account_key=account_key,
        smsc_id=item.smsc_id,
        msisdn=item.msisdn or "",
        code=item.code,
        err=_or(item.err, -1),
        ts=item.ts or 0,
        extra=dict(item.extra),
    )


def _or(number: int | None, absent: int) -> int:
    return absent if number is None else number


def money(cost: Decimal | None) -> str:
    """Plain decimal text. `1e999999` is no price, and written out it would fill the memory."""
    if cost is None or abs(cost.adjusted()) > _MOST_DIGITS or len(cost.as_tuple().digits) > _MOST_DIGITS:
        return ""
    return format(cost, "f")
