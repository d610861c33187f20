"""The control API: wrong orders are refused with a sentence; accounts are changed and read; expectations."""

from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from smsbridge.core import errors
from smsbridge.core.delivery import PortalStatus
from smsbridge.core.message import Route
from smsbridge.sandbox.client import SandboxClient, expected_portal_status
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.sandbox.orders import (
    SendOrder,
)
from smsbridge.sandbox.settings import (
    AccountSettings,
    Profile,
)
from tests.wire import sandbox_world
from tests.wire.sandbox_world import DOMAIN, World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with sandbox_world.living() as world:
        yield world


Mistake = Callable[[SandboxClient], Awaitable[object]]
MISTAKES: list[tuple[Mistake, str]] = [
    (lambda c: c.send("nowhere.ru", SendOrder()), "domain: there is no portal with this domain"),
    (lambda c: c.send(DOMAIN, SendOrder()), "client_id: the application's installation is not finished"),
    (lambda c: c.install(DOMAIN), "url: give the URL that the provider shows as its install URL"),
    (lambda c: c.broadcast_progress("b0"), "broadcast_id: there is no such broadcast"),
    (lambda c: c.ledger("nobody"), "login: there is no account with this login"),
    (
        lambda c: c.change_account("http", no_such_setting=1),
        "no_such_setting: Extra inputs are not permitted",
    ),
    (
        lambda c: c.change_account("http", timing={"delivery_seconds": -1}),
        "timing.delivery_seconds: Input should be greater than or equal to 0",
    ),
    (lambda c: c.create_account(AccountSettings(login="http")), "login: an account with this login exists"),
    (
        lambda c: c.portal_fault(DOMAIN, Fault(kind=FaultKind.LOSE_CALLBACKS)),
        "kind: this fault is not one of a portal's",
    ),
    (
        lambda c: c.oauth_fault(Fault(kind=FaultKind.OVERLOAD)),
        "kind: this fault is not one of the OAuth host's",
    ),
    (lambda c: c.smsc_fault("http", Fault(kind=FaultKind.OVERLOAD)), "kind: this fault is not one of SMSC's"),
]


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES)
async def test_a_wrong_order_is_refused_with_a_sentence(
    world: World, mistake: Mistake, sentence: str
) -> None:
    with pytest.raises(errors.InputError) as caught:
        await mistake(world.client)
    assert str(caught.value) == sentence


async def test_accounts_can_be_changed_and_read_over_the_control_api(world: World) -> None:
    await world.client.create_account(AccountSettings(login="third", password="p", profile=Profile.HTTP))
    await world.client.change_account("third", balance="10.50", prices={"sms": "1.00"})
    await world.client.smsc_fault("third", Fault(kind=FaultKind.HTML, count=1))
    form = {"login": "third", "psw": "p", "phones": "79990000001", "mes": "x", "fmt": "3"}
    async with aiohttp.ClientSession() as session:
        for kind in ("text/html", "application/json"):
            async with session.post(world.sandbox.smsc_url + "/sys/send.php", data=form) as response:
                assert response.content_type == kind
    ledger = await world.client.ledger("third")
    assert (str(ledger.balance), str(ledger.charged)) == ("9.50", "1.00")
    assert ledger.requests == {"send": {"html": 1, "ok": 1}}
    (sent,) = await world.client.sends("third")
    (message,) = await world.client.messages("third", phone="+79990000001")
    assert (sent.phones, message.smsc_id, message.kind) == (["79990000001"], "1", "sms")
    overview = await world.client.overview()
    assert [account["login"] for account in overview.accounts] == ["guide", "http", "third"]


EXPECTED = [
    # ending, route, profile, status at the end
    ("00", Route.CASCADE, Profile.GUIDE, PortalStatus.DELIVERED),
    ("80", Route.CASCADE, Profile.GUIDE, PortalStatus.DELIVERED),
    ("86", Route.CASCADE, Profile.GUIDE, PortalStatus.DELIVERED),
    ("87", Route.CASCADE, Profile.GUIDE, PortalStatus.UNDELIVERED),
    ("89", Route.SMS, Profile.GUIDE, PortalStatus.UNDELIVERED),
    ("91", Route.SMS, Profile.GUIDE, PortalStatus.SENT),
    ("92", Route.SMS, Profile.GUIDE, PortalStatus.DELIVERED),
    ("80", Route.VIBER, Profile.GUIDE, PortalStatus.UNDELIVERED),
    ("86", Route.VIBER, Profile.GUIDE, PortalStatus.SENT),
    ("93", Route.SMS, Profile.GUIDE, PortalStatus.FAILED),
    ("94", Route.SMS, Profile.HTTP, PortalStatus.FAILED),
    ("80", Route.CASCADE, Profile.HTTP, PortalStatus.DELIVERED),
    ("85", Route.VIBER, Profile.HTTP, PortalStatus.UNDELIVERED),
    ("86", Route.CASCADE, Profile.HTTP, PortalStatus.DELIVERED),
    ("87", Route.CASCADE, Profile.HTTP, PortalStatus.UNDELIVERED),
    ("89", Route.SMS, Profile.HTTP, PortalStatus.DELIVERED),
    ("91", Route.CASCADE, Profile.HTTP, PortalStatus.SENT),
    ("99", Route.SMS, Profile.HTTP, PortalStatus.DELIVERED),
]


@pytest.mark.parametrize(("ending", "route", "profile", "status"), EXPECTED)
def test_expected_statuses(ending: str, route: Route, profile: Profile, status: PortalStatus) -> None:
    assert expected_portal_status("+799900000" + ending, route=route, profile=profile) is status
