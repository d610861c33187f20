"""A message's events as sentences for people. It decides nothing; an event that is not known tells itself.

The words of events and of their `why` are explained in docs/flows.md.
"""

from collections.abc import Callable, Mapping
from typing import Any

from smsbridge.core.message import REASON_SENTENCES, Channel, Reason
from smsbridge.core.provider import Profile
from smsbridge.smsc import codes, err_codes
from smsbridge.store.delivery import MessageView

Event = Mapping[str, Any]

ORIGINS = {
    "card": "a CRM card",
    "robot": "a robot or workflow",
    "service": "the portal itself (a one-time code, or a robot with the default provider)",
    "marketing": "a marketing letter",
    "manual": "the command line",
}
CHANNELS = {"sms": "SMS", "viber": "Viber"}
ROUTES = {**CHANNELS, "cascade": "cascade"}

WHY = {
    "application_token": "its application token was not the installation's",
    "login": "SMSC refused the account's login or this address",
    "money": "the account had no money",
    "blocked": "SMSC had blocked this address",
    "bad_requests": "too many requests in a row were bad",
    "too_many": "SMSC had too many requests at a time",
    "duplicate": "SMSC called it a duplicate",
    "same_text_just_sent": "this number had just got this text, and SMSC would refuse it",
    "sender_gone": "the sender that had it died before it wrote anything",
    "prefers_sms": "a cascade to this number ended in SMS before",
    "profile_changed": "the account's API profile was changed meanwhile",
    "looking_up": "its number was being looked up first",
    "pending": "the look-up took over 2 minutes",
    "budget": "today's budget for look-ups was used up",
    "unanswered": "nobody knew whether SMSC had made the look-up",
    "hlr_away": "the hlr role did not answer",
    "unsent": "SMSC could not be reached for the look-up",
    "not_taken": "SMSC did not take the look-up",
    "no_turn": "the look-up's turn did not come",
    "store_away": "the store did not answer",
    "removed": "the provider was removed",
    "refused": "it was refused",
    "aborted": "the sender stood still for too long, so it wrote nothing",
    "dns": "SMSC's name could not be found",
    "tls": "the connection to SMSC could not be secured",
    "url": "SMSC's address cannot be used",
    "connect_refused": "SMSC refused the connection",
    "connect_timeout": "SMSC did not answer to the connection",
    "connect_failed": "there was no connection to SMSC",
    "stale": "the connection to SMSC had been closed",
    "timeout": "SMSC did not answer in time",
    "reset": "the connection broke before the answer",
    "redirect": "SMSC answered with a redirect",
    "html": "SMSC answered with a page instead of data",
    "empty": "SMSC's answer was empty",
    "unparsable": "SMSC's answer could not be read",
    "too_long": "SMSC's answer was too long",
    "money_with_id": "SMSC said that there is no money, and yet gave it an id",
    "unknown_error": "SMSC answered with an error that it does not describe",
    "missing": "SMSC's answer did not name this number",
    "no_outcome": "the sender died before it wrote down SMSC's answer",
    "status_unproved": "status.php of this account has never found an id of ours",
    "status_unanswered": "status.php gave no usable answer, or may not be asked now",
    "account_changed": "no provider names the account any more that it was sent by",
    "paused": "the provider is paused, so nothing is repeated",
    "not_delivered_in_time": "the channel before did not deliver it in time",
    "not_read_in_time": "it was not read in time",
    "forbidden": "SMSC had forbidden it by the channel before",
    "closed": "no receipt of the channel before came in time",
    "not_found": "the portal does not know the message",
    "too_old": "the portal forgets a message after 14 days",
}


def tell(event: Event, view: MessageView) -> str:
    """One sentence without its full stop; never a phone, never a text of ours."""
    teller = _TELLERS.get(str(event["what"]))
    return teller(event, view) if teller is not None else _plain(event)


def reason_sentence(reason: str) -> str:
    """Empty for none; a reason that is not of our list stands for itself."""
    try:
        return REASON_SENTENCES[Reason(reason)] if reason else ""
    except ValueError:
        return reason


def why_sentence(word: str) -> str:
    """Of an event's `why`; a reason is one too."""
    if word.startswith("code_"):
        return f"SMSC reported {word.removeprefix('code_')} for the channel before"
    if word.startswith("http_"):
        return f"SMSC answered with HTTP {word.removeprefix('http_')}"
    return WHY.get(word) or reason_sentence(word)


def price(cost: str, *, estimated: bool) -> str:
    if not cost:
        return "a cost that nobody told"
    return f"{cost} roubles{' (estimated)' if estimated else ''}"


def smsc_said(code: int, err: int | None, *, profile: str, channel: str) -> str:
    """SMSC's own words for a status, with its numbers."""
    try:
        reading = codes.read_status(Profile(profile), code, None, Channel(channel) if channel else None)
    except ValueError:
        return f"status {code}"
    words = f"{reading.meaning} (status {code}"
    if err:
        words += f", error {err}: {err_codes.read_err(err).meaning}"
    return words + ")"


def _plain(event: Event) -> str:
    told = ", ".join(f"{name}={event[name]}" for name in sorted(event) if name not in ("at", "what"))
    return str(event["what"]).replace("_", " ") + (f" ({told})" if told else "")


def _word(event: Event, name: str) -> str:
    value = event.get(name)
    return "" if value is None else str(value)


def _channel(event: Event, view: MessageView) -> str:
    """Of the event itself, else of its attempt."""
    word = _word(event, "channel")
    if not word and event.get("attempt") is not None:
        word = view.of_attempt(int(event["attempt"]), "ch")
    return CHANNELS.get(word, word)


def _because(event: Event) -> str:
    why = why_sentence(_word(event, "why"))
    return f": {why}" if why else ""


def _accepted(event: Event, view: MessageView) -> str:
    segments = int(event.get("segments") or 0)
    rule = f" (rule {event['rule']})" if event.get("rule") else ""
    size = f", {segments} segments as an SMS" if segments > 1 else ""
    origin = ORIGINS.get(_word(event, "origin"), _word(event, "origin"))
    route = ROUTES.get(_word(event, "route"), _word(event, "route"))
    return f"accepted from {origin}, to go by {route}{rule}{size}"


def _sent(event: Event, view: MessageView) -> str:
    estimated = bool(event.get("estimated"))
    segments = int(event.get("segments") or 0)
    size = f", {segments} segments" if segments > 1 else ""
    how = "SMSC has it after all" if event["what"] == "adopted" else "SMSC took it"
    cost = price(_word(event, "cost"), estimated=estimated)
    return f"{how}, by {_channel(event, view)}{size}, for {cost}"


def _refused(event: Event, view: MessageView) -> str:
    said = _word(event, "smsc")
    why = reason_sentence(_word(event, "reason"))
    return f"SMSC refused it{f': {why}' if why else ''}{f' (SMSC: {said})' if said else ''}"


def _by_smsc(event: Event, view: MessageView) -> str:
    attempt = int(event.get("attempt") or 1)
    err = event.get("err")
    said = smsc_said(
        int(event["code"]),
        None if err is None else int(err),
        profile=view.of_attempt(attempt, "prof"),
        channel=view.of_attempt(attempt, "ch"),
    )
    how = "called" if event.get("from") == "callback" else "answered"
    return f"SMSC {how}, {_channel(event, view)}: {said}"


def _receipt(event: Event, view: MessageView) -> str:
    why = reason_sentence(_word(event, "reason"))
    return _by_smsc(event, view) + (f"; {why}" if why else "")


def _next_leg(event: Event, view: MessageView) -> str:
    return f"it goes on by {_channel(event, view)}{_because(event)}"


def _portal(sentence: str) -> Callable[[Event, MessageView], str]:
    return lambda event, view: sentence.format(status=_word(event, "status")) + _because(event)


def _fixed(sentence: str) -> Callable[[Event, MessageView], str]:
    """`{channel}` is the attempt's; `why` and `reason` are added."""

    def told(event: Event, view: MessageView) -> str:
        why = _because(event)
        if not why and event.get("reason"):
            why = f": {reason_sentence(str(event['reason']))}"
        return sentence.format(channel=_channel(event, view)) + why

    return told


_TELLERS: Mapping[str, Callable[[Event, MessageView], str]] = {
    "accepted": _accepted,
    "held": _fixed("held back"),
    "released": lambda event, view: "released: its application token is the installation's now",
    "failed": _fixed("it failed before it was sent"),
    "cancelled": lambda event, view: "somebody took it back",
    "expired": lambda event, view: "it could not be handed to SMSC within its validity",
    "left_out": _fixed("not sent"),
    "unchecked": _fixed("sent without the look-up that was wanted"),
    "rerouted": _fixed("it goes by {channel} instead"),
    "sending": _fixed("on its way to SMSC, by {channel}"),
    "repeating": _fixed("the unanswered request goes out again, by {channel}"),
    "back": _fixed("it waits again, nothing of it was sent"),
    "split": lambda event, view: "its batch was taken apart; it goes on in a smaller one",
    "sent": _sent,
    "adopted": _sent,
    "refused": _refused,
    "uncertain": _fixed("nobody knows whether SMSC took it, so SMSC is asked"),
    "held_uncertain": _fixed("still nobody knows whether SMSC took it"),
    "receipt": _receipt,
    "read": lambda event, view: "it was read; " + _by_smsc(event, view),
    "delivered_unread": lambda event, view: "delivered, not read yet; " + _by_smsc(event, view),
    "delivered": _fixed("it counts as delivered by {channel}"),
    "fell_back": lambda event, view: "SMSC went on by SMS; " + _by_smsc(event, view),
    "unknown_code": lambda event, view: "nothing changed; " + _by_smsc(event, view),
    "grace_over": lambda event, view: "forbidden by SMSC, and no moderator released it within 5 minutes",
    "closed": lambda event, view: "no receipt came in time; nobody can say any more whether it arrived",
    "next_leg": _next_leg,
    "not_needed": _fixed("the message by {channel} is not needed any more and was not sent"),
    "portal_written": _portal("the portal was told `{status}`"),
    "portal_unanswered": _portal("the portal did not answer when it was told `{status}`"),
    "portal_dropped": _portal("the portal is not told `{status}` any more"),
    "step_answered": _portal("the workflow step was told `{status}`"),
    "step_over": _portal("the workflow step did not wait for `{status}` any more"),
}
