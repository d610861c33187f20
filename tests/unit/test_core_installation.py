"""What events do to an installation, as tables: repeats, older ones, other administrators, dead chains."""

from dataclasses import replace

import pytest

from smsbridge.core import installation
from smsbridge.core.installation import Broken, Chain, EventKind, Installation, InstallEvent, Tokens


def tokens(name: str, *, user: str = "1", endpoint: str = "https://example.bitrix24.ru/rest/") -> Tokens:
    return Tokens(f"access-{name}", f"refresh-{name}", 1000, user_id=user, client_endpoint=endpoint)


def event(
    name: str,
    *,
    kind: EventKind = EventKind.INSTALL,
    at: int = 100,
    application_token: str = "app-1",
    user: str = "1",
) -> InstallEvent:
    return InstallEvent(
        kind,
        client_id="local.1",
        member_id="m1",
        domain="example.bitrix24.ru",
        tokens=tokens(name, user=user),
        application_token=application_token,
        at=at,
    )


def made(*events: InstallEvent) -> Installation:
    found: Installation | None = None
    for one in events:
        found = installation.installed(found, one)
    assert found is not None
    return found


def test_the_first_install() -> None:
    found = made(event("a"))

    assert found.works
    assert found.chain == Chain("1", "access-a", "refresh-a", 1000)
    assert (found.installed_at, found.chain_version, found.registrations_version) == (100, 1, 1)
    assert found.application_token == "app-1"
    assert found.previous_application_token == ""


@pytest.mark.parametrize("kind", [EventKind.INSTALL, EventKind.UPDATE, EventKind.FRAME, EventKind.SECRET])
def test_a_repeated_event_changes_nothing(kind: EventKind) -> None:
    first = made(event("a"), event("b", kind=kind, at=200))
    later = installation.refreshed(first, used=first.refresh_token, tokens=tokens("c"))
    assert later is not None

    assert installation.installed(later, event("b", kind=kind, at=200)) == later


def test_an_update_changes_the_application_token_and_keeps_the_one_before() -> None:
    found = made(event("a"), event("b", kind=EventKind.UPDATE, at=200, application_token="app-2"))

    assert (found.application_token, found.previous_application_token) == ("app-2", "app-1")
    assert found.knows_application_token("app-1")
    assert found.knows_application_token("app-2")
    assert found.registrations_version == 2
    assert found.installed_at == 100


def test_an_update_in_the_same_second_as_the_install_counts() -> None:
    found = made(event("a"), event("b", kind=EventKind.UPDATE, at=100, application_token="app-2"))

    assert (found.application_token, found.refresh_token) == ("app-2", "refresh-b")


@pytest.mark.parametrize("token", ["", "app", "app-12", "ключ", "\ud800"])
def test_a_foreign_application_token_is_not_known(token: str) -> None:
    assert not made(event("a")).knows_application_token(token)


def test_an_empty_application_token_never_matches() -> None:
    assert not made(event("a", application_token="")).knows_application_token("")


def test_an_event_that_was_overtaken_changes_nothing() -> None:
    found = made(event("b", at=200))

    assert installation.installed(found, event("a", at=100)) == found
    assert installation.installed(found, event("a", kind=EventKind.UPDATE, at=199)) == found


def test_a_frame_without_application_token_keeps_the_known_one() -> None:
    found = made(event("a"), event("b", kind=EventKind.FRAME, at=0, application_token=""))

    assert (found.application_token, found.refresh_token) == ("app-1", "refresh-b")
    assert found.registrations_version == 1


def test_other_administrators_chains_are_kept_as_spares_newest_first() -> None:
    found = made(*(event(str(n), kind=EventKind.FRAME, at=n, user=str(n)) for n in range(1, 7)))

    assert found.user_id == "6"
    assert [chain.user_id for chain in found.spares] == ["5", "4", "3"]


def test_a_newer_chain_of_the_same_user_replaces_his_older_one() -> None:
    found = made(event("a", user="1"), event("b", user="2", at=200), event("c", user="1", at=300))

    assert found.refresh_token == "refresh-c"
    assert [chain.refresh_token for chain in found.spares] == ["refresh-b"]


UNINSTALLS = [
    # application token, ts, counts
    ("app-2", 301, True),
    ("app-2", 300, False),
    ("app-2", 299, False),
    ("app-1", 400, False),  # the one before the current
    ("", 400, False),
    ("app-3", 400, False),
]


@pytest.mark.parametrize(("application_token", "at", "counts"), UNINSTALLS)
def test_what_uninstall_counts(application_token: str, at: int, counts: bool) -> None:
    found = made(event("a", at=200), event("b", at=300, application_token="app-2"))

    gone = installation.uninstalled(found, application_token=application_token, at=at)

    assert (gone.broken is Broken.UNINSTALLED) is counts
    assert gone.works is not counts
    assert (gone == found) is not counts


def test_an_install_after_an_uninstall_begins_anew() -> None:
    found = made(event("a", user="1"), event("b", user="2", at=150))
    gone = installation.uninstalled(found, application_token="app-1", at=200)

    assert installation.installed(gone, event("late", at=199)) == gone
    again = installation.installed(gone, event("c", at=300))
    assert again.works
    assert again.spares == ()
    assert again.installed_at == 300
    assert again.registrations_version == found.registrations_version + 1


def test_a_refresh_replaces_the_chain_it_used() -> None:
    found = made(event("a", user="1"), event("b", user="2", at=200))

    main = installation.refreshed(found, used="refresh-b", tokens=tokens("x", user="2"))
    spare = installation.refreshed(found, used="refresh-a", tokens=tokens("y", user="1"))

    assert main is not None
    assert main.chain == Chain("2", "access-x", "refresh-x", 1000)
    assert main.chain_version == found.chain_version + 1
    assert spare is not None
    assert spare.refresh_token == "refresh-b"
    assert [chain.refresh_token for chain in spare.spares] == ["refresh-y"]
    assert installation.refreshed(found, used="refresh-z", tokens=tokens("z")) is None


def test_a_dead_chain_gives_way_to_the_next_until_none_is_left() -> None:
    found = made(event("a", user="1"), event("b", user="2", at=200))

    second = installation.promoted(found, dead="refresh-b")
    third = installation.promoted(second, dead="refresh-a")

    assert second.works
    assert (second.user_id, second.refresh_token, second.spares) == ("1", "refresh-a", ())
    assert third.broken is Broken.GRANT_REFUSED
    assert not third.works


def test_a_dead_spare_goes_without_touching_the_one_in_use() -> None:
    found = made(event("a", user="1"), event("b", user="2", at=200))

    after = installation.promoted(found, dead="refresh-a")

    assert after == replace(found, spares=())


def test_a_renamed_portal_is_followed() -> None:
    found = made(event("a"))

    moved = installation.renamed(found, "https://new.bitrix24.ru/rest/")

    assert (moved.client_endpoint, moved.domain) == ("https://new.bitrix24.ru/rest/", "new.bitrix24.ru")
    assert moved.chain_version == found.chain_version


def test_a_secrets_token_is_taken_once_whenever_it_is_read() -> None:
    first = made(event("s", kind=EventKind.SECRET, at=100))
    dead = installation.promoted(first, dead="refresh-s")

    assert not dead.works
    assert installation.installed(dead, event("s", kind=EventKind.SECRET, at=900)) == dead
    assert installation.installed(dead, event("t", kind=EventKind.SECRET, at=900)).works


def test_nothing_secret_shows() -> None:
    shown = repr(made(event("a", user="1"), event("b", user="2", at=200))) + repr(event("c"))

    for secret in ("access-", "refresh-", "app-1"):
        assert secret not in shown
