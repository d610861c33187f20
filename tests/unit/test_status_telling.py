"""Stories as people read them: where a message is, and each of its events."""

import re
from pathlib import Path

import pytest

from smsbridge.core.delivery import MessageState
from smsbridge.status import story, telling
from tests.unit.test_status_story import NOW, QUIET, provider, view

FLOWS = Path(__file__).parents[2] / "docs" / "flows.md"
FULL = {
    "attempt": 1,
    "channel": "sms",
    "code": 1,
    "from": "callback",
    "status": "delivered",
    "origin": "card",
    "route": "sms",
    "reason": "Expired",
    "why": "money",
}


def table(heading: str) -> list[list[str]]:
    text = FLOWS.read_text(encoding="utf-8").partition(f"\n### {heading}\n")[2].partition("\n##")[0]
    return [
        [cell.strip() for cell in line.strip("| ").split(" | ")]
        for line in text.splitlines()
        if line[:3] == "| `"
    ]


@pytest.mark.parametrize("what", [row[0].strip("`") for row in table("Events")])
def test_every_event_has_a_sentence(what: str) -> None:
    seen = view("sent", a1__ch="sms", a1__prof="http")
    told = telling.tell({"at": NOW, "what": what, **FULL}, seen)
    assert told != telling._plain({"at": NOW, "what": what, **FULL})
    assert not told.endswith(".")
    bare = telling.tell({"at": NOW, "what": what, "code": 99}, view("sent"))
    assert bare
    assert "None" not in bare


def test_every_why_has_a_sentence() -> None:
    words = {word for row in table("The words of `why`") for word in re.findall(r"`(\w+)`", row[0])}
    assert len(words) > 30
    for word in words - {"http_", "code_"}:
        assert telling.why_sentence(word) != word, word
    assert telling.why_sentence("http_502") == "SMSC answered with HTTP 502"
    assert telling.why_sentence("code_20") == "SMSC reported 20 for the channel before"
    assert telling.why_sentence("Expired") == "it could not be handed to SMSC within its validity"
    assert telling.why_sentence("newer_word") == "newer_word"


EVENTS = [
    (
        {"what": "accepted", "origin": "marketing", "route": "cascade", "rule": "codes", "segments": 3},
        "accepted from a marketing letter, to go by cascade (rule codes), 3 segments as an SMS",
    ),
    (
        {"what": "sent", "attempt": 1, "channel": "viber", "cost": "2.30", "segments": 1},
        "SMSC took it, by Viber, for 2.30 roubles",
    ),
    (
        {"what": "adopted", "attempt": 1, "channel": "sms", "cost": "8.00", "estimated": True, "segments": 2},
        "SMSC has it after all, by SMS, 2 segments, for 8.00 roubles (estimated)",
    ),
    ({"what": "sent", "attempt": 1, "channel": "sms"}, "SMSC took it, by SMS, for a cost that nobody told"),
    (
        {"what": "refused", "attempt": 1, "reason": "TextDenied", "smsc": "message denied"},
        "SMSC refused it: SMSC forbids this text or sender name (SMSC: message denied)",
    ),
    (
        {"what": "receipt", "attempt": 1, "code": 20, "err": 1, "from": "status", "reason": "CannotDeliver"},
        "SMSC answered, SMS: impossible to deliver (status 20, error 1: subscriber does not exist); "
        "SMSC cannot deliver to this number",
    ),
    (
        {"what": "receipt", "attempt": 1, "code": 1, "err": 0, "from": "callback"},
        "SMSC called, SMS: delivered (status 1)",
    ),
    (
        {"what": "unknown_code", "attempt": 1, "code": 77, "from": "callback"},
        "nothing changed; SMSC called, SMS: a status that SMSC does not describe (status 77)",
    ),
    (
        {"what": "back", "attempt": 1, "why": "money"},
        "it waits again, nothing of it was sent: the account had no money",
    ),
    (
        {"what": "portal_dropped", "status": "delivered", "why": "too_old"},
        "the portal is not told `delivered` any more: the portal forgets a message after 14 days",
    ),
    ({"what": "newer_event", "attempt": 2, "x": "y"}, "newer event (attempt=2, x=y)"),
]


@pytest.mark.parametrize(("event", "sentence"), EVENTS)
def test_events_as_people_read_them(event: dict[str, object], sentence: str) -> None:
    seen = view("sent", a1__ch="sms", a1__prof="http")
    assert telling.tell({"at": NOW, **event}, seen) == sentence


ACCEPTED = str(NOW - 75_000)
HEADLINES = [
    (
        view(
            "delivered",
            acc=ACCEPTED,
            a1__st="delivered",
            a1__ch="viber",
            a1__by="viber",
            a1__fin=str(NOW),
            a1__rd="1",
        ),
        "Delivered and read by Viber 2026-09-21 14:13:20 UTC, 1 min 15 s after it was accepted",
    ),
    (
        view("undelivered", rs="NotDelivered", a1__st="undelivered", a1__fin=str(NOW)),
        "Not delivered 2026-09-21 14:13:20 UTC: the operator could not deliver it",
    ),
    (view("failed", rs="EmptyText"), "Not delivered: the text is empty; write one and send again"),
    (view("expired", rs=""), "Not delivered: nobody said why"),
    (view("held"), "Not sent yet, held back: its application token was not the installation's"),
    (view("queued"), "Not sent yet: it leaves with the next batch"),
    (view("sending"), "Being handed to SMSC now"),
    (
        view("sending", note="status_unproved"),
        "Perhaps sent: status.php of this account has never found an id of ours",
    ),
    (
        view("sent", a1__ch="sms", a1__at=str(NOW)),
        "With SMSC by SMS since 2026-09-21 14:13:20 UTC; not delivered yet",
    ),
    (
        view("sent", a1__ch="viber", a1__by="viber", a1__dl=str(NOW)),
        "Delivered by Viber 2026-09-21 14:13:20 UTC, not read yet",
    ),
    (view("sent", a1__st="forbidden"), "With SMSC, which has forbidden it; a moderator may still release it"),
    (
        view("sent", na="2", a1__ch="viber", a2__ch="sms", a2__st="planned"),
        "Not delivered yet; it goes on by SMS",
    ),
    (
        view("outcome_unknown"),
        "Nobody knows whether it arrived: SMSC took it, or may have, and no receipt came in time",
    ),
]


@pytest.mark.parametrize(("seen", "sentence"), HEADLINES)
def test_the_first_line_answers(seen: story.MessageView, sentence: str) -> None:
    assert story.headline(seen, provider(), QUIET) == sentence


@pytest.mark.parametrize("state", MessageState)
def test_every_state_has_a_first_line(state: MessageState) -> None:
    assert len(story.headline(view(state), provider(), QUIET)) > 8


@pytest.mark.parametrize(
    ("ms", "words"),
    [(-5, "0 s"), (59_400, "59 s"), (60_000, "1 min 0 s"), (3_720_000, "1 h 2 min"), (90_000_000, "1 d 1 h")],
)
def test_times_as_words(ms: int, words: str) -> None:
    assert story._duration(ms) == words
