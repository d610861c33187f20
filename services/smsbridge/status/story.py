"""Sentences for people: why a message failed, what happens to it next and when. It decides nothing."""

from datetime import UTC, datetime

from smsbridge.core.delivery import MessageState
from smsbridge.core.message import REASON_SENTENCES, STEP_REPORTS, Reason
from smsbridge.core.provider import Provider
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


def reason_sentence(reason: str) -> str:
    """Empty for none; a reason that is not of our list stands for itself."""
    if not reason:
        return ""
    try:
        return REASON_SENTENCES[Reason(reason)]
    except ValueError:
        return reason


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
