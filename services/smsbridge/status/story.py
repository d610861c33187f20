"""Sentences for people: where a message is, what happens to it next and when. It decides nothing.

What has happened to it is told by `telling`.
"""

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from smsbridge.core.delivery import MessageState
from smsbridge.core.message import STEP_REPORTS
from smsbridge.core.provider import Provider
from smsbridge.status import telling
from smsbridge.store.account import AccountState
from smsbridge.store.delivery import MessageView

_PAUSES = {
    "login": "SMSC refuses the account's login or this address; correct the Secret or the account's IP list",
    "money": "the account has no money; top it up",
}
_DROPPED = {
    "not_found": "the portal does not know the message",
    "too_old": "the portal forgets a message after 14 days",
}
_STEP_DROPPED = {"too_old": "it could not be told for 14 days"}


reason_sentence = telling.reason_sentence


def headline(view: MessageView, provider: Provider, account: AccountState) -> str:
    """The answer to "where is my message", in one sentence without its full stop."""
    state = MessageState(view.record["st"])
    if state is MessageState.DELIVERED:
        return _arrived(view)
    if state is MessageState.OUTCOME_UNKNOWN:
        return "Nobody knows whether it arrived: SMSC took it, or may have, and no receipt came in time"
    if state.final:
        why = telling.reason_sentence(view.record.get("rs", "")) or "nobody said why"
        return f"Not delivered{_when(view, 'fin', view.attempts)}: {why}"
    if state is MessageState.HELD:
        return "Not sent yet, held back: its application token was not the installation's"
    if state is MessageState.QUEUED:
        return f"Not sent yet: {_queued(view, provider, account)}"
    if state is MessageState.SENDING:
        if view.record.get("note"):
            return f"Perhaps sent: {telling.why_sentence(view.record['note'])}"
        return "Being handed to SMSC now"
    return _with_smsc(view)


def costs(view: MessageView) -> tuple[Decimal | None, Decimal]:
    """Roubles of all attempts whose cost is known or estimated, and the part of it that is estimated."""
    known: list[Decimal] = []
    estimated: list[Decimal] = []
    for number in range(1, view.attempts + 1):
        cost = view.of_attempt(number, "cost")
        if view.of_attempt(number, "at") and cost:
            (estimated if view.of_attempt(number, "est") == "1" else known).append(_roubles(cost))
    if not known and not estimated:
        return None, Decimal(0)
    return sum(known + estimated, Decimal(0)), sum(estimated, Decimal(0))


def _roubles(text: str) -> Decimal:
    """0 for what is no amount."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return Decimal(0)
    return value if value.is_finite() else Decimal(0)


def arrived_by(view: MessageView) -> int:
    """The number of the attempt that was delivered first; 0 where none was."""
    delivered = (n for n in range(1, view.attempts + 1) if view.of_attempt(n, "st") == "delivered")
    return next(delivered, 0)


def _arrived(view: MessageView) -> str:
    number = arrived_by(view)
    channel = view.of_attempt(number, "by") or view.of_attempt(number, "ch")
    by = f" by {telling.CHANNELS.get(channel, channel)}" if channel else ""
    read = " and read" if view.of_attempt(number, "rd") == "1" else ""
    at = view.of_attempt(number, "dl") or view.of_attempt(number, "fin")
    took = ""
    if at and view.record.get("acc"):
        took = f", {_duration(_ms(at) - _ms(view.record['acc']))} after it was accepted"
    return f"Delivered{read}{by}{_when_ms(at)}{took}"


def _with_smsc(view: MessageView) -> str:
    last = view.attempts
    channel = view.of_attempt(last, "by") or view.of_attempt(last, "ch")
    by = f" by {telling.CHANNELS.get(channel, channel)}" if channel else ""
    if view.of_attempt(last, "st") in ("planned", "queued", "sending"):
        return f"Not delivered yet; it goes on{by}"
    if view.of_attempt(last, "dl"):
        return f"Delivered{by}{_when_ms(view.of_attempt(last, 'dl'))}, not read yet"
    if view.of_attempt(last, "st") == "forbidden":
        return "With SMSC, which has forbidden it; a moderator may still release it"
    return f"With SMSC{by}{_when(view, 'at', last, word=' since')}; not delivered yet"


def _when(view: MessageView, name: str, number: int, *, word: str = "") -> str:
    return _when_ms(view.of_attempt(number, name), word=word)


def _when_ms(text: str, *, word: str = "") -> str:
    return f"{word} {_time(_ms(text))}" if text else ""


def _ms(text: str) -> int:
    """The store writes some numbers with an exponent."""
    return int(float(text))


def _duration(ms: int) -> str:
    seconds = max(0, round(ms / 1000))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600} h"


def next_step(view: MessageView, provider: Provider, account: AccountState) -> str:
    """What will happen and when; empty where nothing will."""
    state = MessageState(view.record["st"])
    steps = [_delivery(state, view, provider, account), _portal(view)]
    return "; ".join(step for step in steps if step)


def _delivery(state: MessageState, view: MessageView, provider: Provider, account: AccountState) -> str:
    if state is MessageState.HELD:
        return f"its application token is compared again{_at(view, 'tokens')}"
    if state is MessageState.QUEUED:
        return _queued(view, provider, account)
    if state is MessageState.SENDING:
        if view.record.get("note"):
            return "nobody knows whether SMSC took it; status.php is asked until that is settled"
        return "its batch is on the way to SMSC"
    if state is MessageState.SENT:
        return _sent(view)
    return ""


def _queued(view: MessageView, provider: Provider, account: AccountState) -> str:
    if provider.removed:
        return "its provider was removed; it is about to fail"
    if provider.paused:
        return "its provider is paused; it waits"
    if account.pause:
        why = _PAUSES.get(account.pause, f"the account is paused ({account.pause})")
        when = f", next probe at {_time(account.next_probe_at_ms)}" if account.next_probe_at_ms else ""
        return f"it waits: {why}{when}"
    if "later" in view.due_ms:
        return f"it is tried again{_at(view, 'later')}"
    return f"it leaves with the next batch{_at(view, 'group')}"


def _sent(view: MessageView) -> str:
    last = view.attempts
    parts = ["a receipt is awaited"]
    if "cascade" in view.due_ms:
        parts.append(f"the next channel follows{_at(view, 'cascade')}")
    if view.of_attempt(last, "st") == "forbidden":
        parts.append(f"SMSC forbade it, a moderator may release it until{_at(view, 'grace', word='')}")
    if "poll" in view.due_ms:
        parts.append(f"SMSC is asked{_at(view, 'poll')}")
    close = view.of_attempt(last, "close")
    if close:
        parts.append(f"without an answer it ends as outcome unknown at {_time(int(float(close)))}")
    return ", ".join(parts)


def _portal(view: MessageView) -> str:
    if view.record.get("rep") in STEP_REPORTS:
        return _step(view)
    dropped = view.record.get("px", "")
    if dropped:
        why = _DROPPED.get(dropped, f"the portal refused it ({dropped})")
        return f"the portal is not told any more: {why}"
    if not view.portal_wanted:
        return ""
    return f"the portal is told `{view.portal_wanted}`{_at(view, 'portal')}"


def _step(view: MessageView) -> str:
    """What its workflow step has still to be told."""
    dropped = view.record.get("px", "")
    if dropped:
        why = _STEP_DROPPED.get(dropped, f"the portal refused it ({dropped})")
        return f"its workflow step is not told any more: {why}"
    if view.portal_wanted:
        return f"its workflow step is told `{view.portal_wanted}`{_at(view, 'portal')}"
    return "its workflow step is told afterwards" if view.record.get("tok") else ""


def _at(view: MessageView, name: str, *, word: str = " at") -> str:
    """` at TIME`, ` now` where that is past, nothing where it is not known."""
    due = view.due_ms.get(name)
    if due is None:
        return ""
    return f"{word} {_time(due)}" if due > view.now_ms else " now"


def _time(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
