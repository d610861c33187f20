"""From a status code to what is applied: what starts the next leg, what is learnt, what is pending."""

import pytest

from smsbridge.core.delivery import FINAL_RANK, AttemptState
from smsbridge.core.message import Channel
from smsbridge.core.provider import AccountSettings, PortalSettings, Profile, Provider, Routing, ViberStop
from smsbridge.smsc import codes
from smsbridge.status import verdict
from smsbridge.store import scripts

PORTAL = PortalSettings(domain="d", client_id="c", client_secret="s")


def read(
    code: int,
    *,
    profile: Profile = Profile.HTTP,
    channel: Channel = Channel.VIBER,
    routing: Routing | None = None,
    source: str = verdict.CALLBACK,
    err: int | None = None,
) -> verdict.Verdict:
    made = Provider("u", "n", "p", "c", "https://p", PORTAL, AccountSettings(), routing=routing or Routing())
    return verdict.read(
        verdict.Said(code, source, err, "1.40"),
        message_id="m",
        attempt=1,
        profile=profile,
        channel=channel,
        provider=made,
    )


@pytest.mark.parametrize("code", range(-4, 30))
def test_what_starts_the_next_leg_at_once(code: int) -> None:
    assert read(code).change.falls_back is (code in (3, 20, 22, 25))
    assert not read(code, profile=Profile.GUIDE).change.falls_back


@pytest.mark.parametrize("profile", Profile)
def test_every_known_code_of_a_profile_is_known(profile: Profile) -> None:
    for code in codes.STATUSES[profile]:
        assert read(code, profile=profile).change.known
    assert not read(99, profile=profile).change.known


@pytest.mark.parametrize("code", [-3, -2, -1, 0, 99])
def test_what_tells_nothing_new(code: int) -> None:
    assert read(code).change.state is None


def test_the_same_code_means_another_thing_in_each_profile() -> None:
    guide, http = read(20, profile=Profile.GUIDE).change, read(20).change
    assert (guide.state, guide.by) == (AttemptState.DELIVERED, Channel.VIBER)
    assert (http.state, http.by) == (AttemptState.UNDELIVERED, None)
    guide, http = read(22, profile=Profile.GUIDE).change, read(22).change
    assert (guide.state, guide.fell_back) == (None, True)
    assert (http.state, http.fell_back) == (AttemptState.FAILED, False)


def test_reading_counts_in_profile_http_alone() -> None:
    routing = Routing(viber_stops_on=ViberStop.READ)
    assert read(1, routing=routing).change.stops_on_read
    assert not read(1, routing=routing, profile=Profile.GUIDE).change.stops_on_read
    assert not read(1).change.stops_on_read


def test_where_it_comes_from() -> None:
    assert not read(1).change.asked
    change = read(1, source=verdict.STATUS).change
    assert (change.asked, change.source, change.cost) == (True, "status", "1.40")


def test_learning_may_be_switched_off() -> None:
    assert read(1).change.learn
    assert not read(1, routing=Routing(learn_preferred_channel=False)).change.learn


def test_test_mode_proves_nothing() -> None:
    found = read(1, err=200)
    assert (found.change.state, found.reading.test_mode) == (AttemptState.UNKNOWN, True)


def test_scripts_and_core_agree_on_what_is_final() -> None:
    assert scripts.FINAL_RANK == FINAL_RANK
