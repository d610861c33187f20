"""Sentences for people: what happens next to a message, in every state it may have."""

import pytest

from smsbridge.core.delivery import MessageState
from smsbridge.core.message import Reason
from smsbridge.core.provider import AccountSettings, PortalSettings, Provider
from smsbridge.status import story
from smsbridge.store.account import AccountState
from smsbridge.store.delivery import MessageView

NOW = 1_790_000_000_000  # 2026-09-21 14:13:20 UTC
SOON = NOW + 20_000
SOON_TEXT = "2026-09-21 14:13:40 UTC"
QUIET = AccountState()


def provider(**changes: object) -> Provider:
    portal = PortalSettings(domain="d", client_id="c", client_secret="s")
    return Provider("u", "crm", "smsc", "smsc", "https://p", portal, AccountSettings(), **changes)  # type: ignore[arg-type]


def view(state: str, *, wanted: str = "", due: dict[str, int] | None = None, **record: str) -> MessageView:
    fields = {"st": state, "na": "1", "a1:st": "sent", **{k.replace("__", ":"): v for k, v in record.items()}}
    return MessageView(fields, [], wanted, due or {}, NOW)


CASES = [
    (view("held", due={"tokens": SOON}), QUIET, f"its application token is compared again at {SOON_TEXT}"),
    (view("queued", due={"group": SOON}), QUIET, f"it leaves with the next batch at {SOON_TEXT}"),
    (view("queued", due={"group": NOW - 1}), QUIET, "it leaves with the next batch now"),
    (view("queued", due={"later": SOON}), QUIET, f"it is tried again at {SOON_TEXT}"),
    (
        view("queued"),
        AccountState(pause="money", next_probe_at_ms=SOON),
        f"it waits: the account has no money; top it up, next probe at {SOON_TEXT}",
    ),
    (view("queued"), AccountState(pause="else"), "it waits: the account is paused (else)"),
    (view("sending"), QUIET, "its batch is on the way to SMSC"),
    (
        view("sending", note="unproved"),
        QUIET,
        "nobody knows whether SMSC took it; status.php is asked until that is settled",
    ),
    (view("sent", due={"poll": SOON}), QUIET, f"a receipt is awaited, SMSC is asked at {SOON_TEXT}"),
    (
        view("sent", due={"cascade": SOON}, a1__close=str(SOON)),
        QUIET,
        f"a receipt is awaited, the next channel follows at {SOON_TEXT}, "
        f"without an answer it ends as outcome unknown at {SOON_TEXT}",
    ),
    (
        view("sent", due={"grace": SOON}, a1__st="forbidden"),
        QUIET,
        f"a receipt is awaited, SMSC forbade it, a moderator may release it until {SOON_TEXT}",
    ),
    (
        view("delivered", wanted="delivered", due={"portal": SOON}),
        QUIET,
        f"the portal is told `delivered` at {SOON_TEXT}",
    ),
    (view("delivered"), QUIET, ""),
    (
        view("delivered", wanted="delivered", px="too_old"),
        QUIET,
        "the portal is not told any more: the portal forgets a message after 14 days",
    ),
    (
        view("failed", wanted="failed", px="ERROR_X"),
        QUIET,
        "the portal is not told any more: the portal refused it (ERROR_X)",
    ),
    (
        view("sending", rep="robot", tok="t"),
        QUIET,
        "its batch is on the way to SMSC; its workflow step is told afterwards",
    ),
    (
        view("delivered", wanted="delivered", due={"portal": NOW}, rep="robot", tok="t"),
        QUIET,
        "its workflow step is told `delivered` now",
    ),
    (
        view("failed", wanted="failed", due={"portal": SOON}, rep="robot_at_once", tok="t"),
        QUIET,
        f"its workflow step is told `failed` at {SOON_TEXT}",
    ),
    (view("failed", rep="robot", pd="failed", pa="1"), QUIET, ""),
    (
        view("failed", rep="robot", px="too_old"),
        QUIET,
        "its workflow step is not told any more: it could not be told for 14 days",
    ),
    (
        view("failed", rep="robot", px="ERROR_X"),
        QUIET,
        "its workflow step is not told any more: the portal refused it (ERROR_X)",
    ),
]


@pytest.mark.parametrize(("seen", "account", "sentence"), CASES)
def test_what_happens_next(seen: MessageView, account: AccountState, sentence: str) -> None:
    assert story.next_step(seen, provider(), account) == sentence


def test_a_paused_provider_says_so() -> None:
    assert story.next_step(view("queued"), provider(paused=True), QUIET) == "its provider is paused; it waits"


@pytest.mark.parametrize("state", MessageState)
def test_every_state_has_its_words(state: MessageState) -> None:
    assert (story.next_step(view(state), provider(), QUIET) == "") is state.final


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_sentence(reason: Reason) -> None:
    assert len(story.reason_sentence(reason)) > 20


def test_no_reason_and_a_foreign_one() -> None:
    assert story.reason_sentence("") == ""
    assert story.reason_sentence("Odd") == "Odd"
