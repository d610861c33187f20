"""One provider against the sandbox: registered, made again when the portal forgot it, said in conditions."""

import asyncio
import ssl
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from smsbridge.core.installation import EventKind
from smsbridge.core.provider import DeletionPolicy
from smsbridge.provisioning import convert, reconcile, urls
from smsbridge.provisioning import state as states
from smsbridge.provisioning.conditions import Reason, Status, Type
from smsbridge.provisioning.manifests import ResourceError
from smsbridge.provisioning.public_url import PublicUrls
from smsbridge.provisioning.state import State
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.store.account import Pause
from smsbridge.store.connection import Store
from tests.operator import certificates
from tests.wire import provisioning_lab
from tests.wire.provisioning_lab import CLIENT_ID, DOMAIN


def said(outcome: reconcile.Outcome) -> dict[Type, tuple[Status, Reason]]:
    return {item.type: (item.status, item.reason) for item in outcome.conditions}


def message(outcome: reconcile.Outcome, type_: Type) -> str:
    found = outcome.state.find(type_)
    assert found is not None
    return found.message


async def test_before_the_install_it_says_what_to_do(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        outcome = await lab.reconcile()

    assert said(outcome) == {
        Type.CREDENTIALS_VALID: (Status.TRUE, Reason.ACCOUNT_ANSWERS),
        Type.PORTAL_AUTHORIZED: (Status.FALSE, Reason.NOT_INSTALLED),
        Type.REGISTERED: (Status.FALSE, Reason.WAITING_FOR_PORTAL),
        Type.FIELDS_READY: (Status.UNKNOWN, Reason.WAITING_FOR_PORTAL),
        Type.ROBOTS_READY: (Status.UNKNOWN, Reason.WAITING_FOR_PORTAL),
        Type.SENDING: (Status.TRUE, Reason.SENDING),
        Type.READY: (Status.FALSE, Reason.NOT_INSTALLED),
    }
    assert outcome.again
    shown = message(outcome, Type.PORTAL_AUTHORIZED)
    assert "/bitrix24/crm/smsc/***/install" in shown
    assert lab.ring.url_key("bitrix24", "uid-1") not in shown


async def test_after_the_install_the_portal_shows_it(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        outcome = await lab.reconcile()
        (sender,) = await lab.senders()

    assert said(outcome)[Type.READY] == (Status.TRUE, Reason.ALL_GOOD)
    assert not outcome.again
    assert sender["code"] == "smsc"
    assert sender["handler"] == urls.of(lab.provider, lab.ring).handler
    assert outcome.state.balance is not None


async def test_in_order_it_costs_one_request_of_the_portal(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await lab.reconcile()).state
        before = await lab.requests()
        outcome = await lab.reconcile(state=state)

        assert await lab.requests() == before + 1
        assert outcome.state.conditions == state.conditions


async def test_a_changed_name_reaches_the_portal(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await lab.reconcile()).state
        await lab.reconcile(replace(lab.provider, display_name="Other"), state)
        (sender,) = await lab.senders()

    assert "Other" in str(sender["name"])


async def test_an_update_of_the_application_wipes_it_and_it_is_made_again(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await lab.reconcile()).state
        await lab.install(kind=EventKind.UPDATE)
        assert await lab.senders() == []
        outcome = await lab.reconcile(state=state)

        assert [sender["code"] for sender in await lab.senders()] == ["smsc"]
        assert said(outcome)[Type.READY][0] is Status.TRUE


async def test_two_providers_of_one_installation_stand_beside_each_other(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        await lab.reconcile()
        await lab.reconcile(replace(lab.provider, uid="uid-2", name="second", code="second"))

        assert {sender["code"] for sender in await lab.senders()} == {"smsc", "second"}


async def test_an_employees_token_is_named(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install(user_id=7)
        outcome = await lab.reconcile()

    assert said(outcome)[Type.PORTAL_AUTHORIZED] == (Status.FALSE, Reason.NOT_ADMINISTRATOR)
    assert said(outcome)[Type.REGISTERED] == (Status.FALSE, Reason.WAITING_FOR_PORTAL)


PORTAL_FAULTS = [
    (FaultKind.INSUFFICIENT_SCOPE, Status.FALSE, Reason.SCOPE_MISSING),
    (FaultKind.NOT_INSTALLED, Status.FALSE, Reason.PORTAL_REFUSES),
    (FaultKind.APPLICATION_NOT_FOUND, Status.FALSE, Reason.PORTAL_REFUSES),
    (FaultKind.PAYMENT_REQUIRED, Status.FALSE, Reason.PORTAL_REFUSES),
    (FaultKind.PORTAL_DELETED, Status.FALSE, Reason.PORTAL_GONE),
    (FaultKind.OVERLOAD, Status.FALSE, Reason.PORTAL_BLOCKED),
    (FaultKind.QUERY_LIMIT, Status.UNKNOWN, Reason.PORTAL_AWAY),
    (FaultKind.HTTP_500, Status.UNKNOWN, Reason.PORTAL_AWAY),
    (FaultKind.HTML, Status.UNKNOWN, Reason.PORTAL_AWAY),
]


@pytest.mark.parametrize(("fault", "status", "reason"), PORTAL_FAULTS)
async def test_what_the_portal_says_becomes_a_condition(
    store: Store, fault: FaultKind, status: Status, reason: Reason
) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        await lab.control.portal_fault(DOMAIN, Fault(kind=fault))
        outcome = await lab.reconcile()

    assert said(outcome)[Type.PORTAL_AUTHORIZED] == (status, reason)
    assert outcome.again


async def test_what_the_portal_mended_is_mended_here(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        await lab.control.portal_fault(DOMAIN, Fault(kind=FaultKind.PAYMENT_REQUIRED))
        broken = await lab.reconcile()
        found = (await lab.installations.all())[0]
        assert not found.works
        await lab.control.clear_portal_faults(DOMAIN)
        outcome = await lab.reconcile(state=broken.state)

        assert said(outcome)[Type.READY][0] is Status.TRUE
        assert (await lab.installations.all())[0].works


async def test_a_silent_portal_still_counts_as_showing_it(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await lab.reconcile()).state
        await lab.control.portal_fault(DOMAIN, Fault(kind=FaultKind.HTTP_500))
        outcome = await lab.reconcile(state=state)

    assert said(outcome)[Type.REGISTERED] == (Status.TRUE, Reason.REGISTERED)
    assert said(outcome)[Type.READY] == (Status.UNKNOWN, Reason.PORTAL_AWAY)


async def test_a_refused_login_is_not_tried_again_until_the_secret_changes(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        wrong = lab.with_password("wrong")
        first = await lab.reconcile(wrong)
        state = first.state
        for _ in range(3):
            state = (await lab.reconcile(wrong, state)).state
        assert lab.sandbox.smsc.unknown_logins == 1
        lab.clock.move(1801)
        again = await lab.reconcile(wrong, state)
        assert lab.sandbox.smsc.unknown_logins == 2
        right = await lab.reconcile(lab.provider, again.state)

    assert said(first)[Type.CREDENTIALS_VALID] == (Status.FALSE, Reason.LOGIN_REFUSED)
    assert said(right)[Type.CREDENTIALS_VALID] == (Status.TRUE, Reason.ACCOUNT_ANSWERS)


async def test_many_wrong_secrets_do_not_block_the_address(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        for number in range(6):
            await lab.reconcile(lab.with_password(f"wrong-{number}"))

        assert lab.sandbox.smsc.unknown_logins == 3


async def test_a_paused_account_is_shown_and_left_alone(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        state = (await lab.reconcile()).state
        key = provisioning_lab.account_key(lab.provider)
        await provisioning_lab.book(lab).pause(key, Pause.MONEY)
        asked = await lab.balance_requests()
        outcome = await lab.reconcile(state=state)

        assert await lab.balance_requests() == asked
    assert said(outcome)[Type.SENDING] == (Status.FALSE, Reason.ACCOUNT_PAUSED)
    assert "(money)" in message(outcome, Type.SENDING)


async def test_a_paused_provider_is_registered_and_says_so(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        outcome = await lab.reconcile(replace(lab.provider, paused=True))

    assert said(outcome)[Type.REGISTERED][0] is Status.TRUE
    assert said(outcome)[Type.READY] == (Status.FALSE, Reason.PAUSED)
    assert not outcome.again


async def test_a_removed_provider_leaves_the_portal(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        await lab.reconcile()
        first = await reconcile.remove(lab.provider, clients=lab.clients)
        second = await reconcile.remove(lab.provider, clients=lab.clients)

        assert (first.done, second.done) == (True, True)
        assert await lab.senders() == []


async def test_retain_leaves_it_in_the_portal(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        await lab.reconcile()
        removal = await reconcile.remove(
            replace(lab.provider, deletion_policy=DeletionPolicy.RETAIN), clients=lab.clients
        )

        assert removal.done
        assert len(await lab.senders()) == 1


@pytest.mark.parametrize(
    ("fault", "done"),
    [(FaultKind.HTTP_500, False), (FaultKind.NOT_INSTALLED, True), (FaultKind.PORTAL_DELETED, True)],
)
async def test_a_removal_waits_for_nobody_who_said_no(store: Store, fault: FaultKind, done: bool) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        await lab.reconcile()
        await lab.control.portal_fault(DOMAIN, Fault(kind=fault))

        assert (await reconcile.remove(lab.provider, clients=lab.clients)).done is done


async def test_a_removal_of_what_was_never_installed_is_done(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        assert (await reconcile.remove(lab.provider, clients=lab.clients)).done


async def test_a_secrets_refresh_token_installs_without_an_event(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        report = await lab.control.install(DOMAIN, url=provisioning_lab.NOWHERE)
        portal = replace(
            lab.provider.portal,
            refresh_token=report.refresh_token,
            application_token=report.application_token,
        )
        provider = replace(lab.provider, portal=portal)

        first = await lab.reconcile(provider)
        second = await lab.reconcile(provider, first.state)

        assert said(second)[Type.READY][0] is Status.TRUE
        assert (await lab.control.oauth_results())["ok"] == 1
        (found,) = await lab.installations.all()
        assert found.knows_application_token(report.application_token)


async def test_transitions_are_dated_once(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        first = await lab.reconcile()
        began = lab.clock.now()
        lab.clock.move(600)
        await lab.install()
        second = await lab.reconcile(state=first.state)
        lab.clock.move(600)
        third = await lab.reconcile(state=second.state)

    at = {item.type: item.at for item in third.conditions}
    assert at[Type.CREDENTIALS_VALID] == began
    assert at[Type.PORTAL_AUTHORIZED] == began + timedelta(seconds=600)
    assert at[Type.READY] == began + timedelta(seconds=600)


async def test_a_renamed_portal_is_followed(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        provider = replace(lab.provider, portal=replace(lab.provider.portal, endpoint=""))
        state = (await lab.reconcile(provider)).state
        await lab.control.rename(DOMAIN, "renamed.bitrix24.ru")
        outcome = await lab.reconcile(provider, state)

        assert said(outcome)[Type.READY][0] is Status.TRUE
        (found,) = await lab.installations.all()
        assert "renamed.bitrix24.ru" in found.client_endpoint


def test_what_is_remembered_survives_the_store() -> None:
    state = State(uid="u", generation=3, member_id="m", registered="r", errors=("spec.code: bad",))

    assert states.from_json(state.to_json()) == state


async def test_what_the_portal_lost_without_a_word_is_put_back_and_said(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        first = await lab.reconcile()
        lab.sandbox.portals.by_domain[DOMAIN].applications[CLIENT_ID].senders.clear()

        second = await lab.reconcile(state=first.state)
        third = await lab.reconcile(state=second.state)

        assert [outcome.put_back for outcome in (first, second, third)] == [False, True, False]
        assert len(await lab.senders()) == 1


async def test_what_an_update_of_the_application_took_is_not_called_lost(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        first = await lab.reconcile()
        await lab.install(kind=EventKind.UPDATE)

        second = await lab.reconcile(state=first.state)

        assert not second.put_back
        assert len(await lab.senders()) == 1


async def test_when_the_portal_was_seen_last_is_remembered(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        good = await lab.reconcile()
        seen = lab.clock.now()
        lab.clock.move(60)
        await lab.control.portal_fault(DOMAIN, Fault(kind=FaultKind.HTTP_500))

        bad = await lab.reconcile(state=good.state)

    assert good.state.last_sync == bad.state.last_sync == seen


async def test_a_missing_secret_dates_its_conditions_once(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        good = await lab.reconcile()
        found = [ResourceError("crm/smsc", "", convert.ACCOUNT_SECRET, "there is no Secret x", 2)]
        lab.clock.move(60)
        first = reconcile.invalid(good.state, found, before=good.state, now=lab.clock.now())
        at = lab.clock.now()
        lab.clock.move(60)
        again = await lab.reconcile(state=first)
        second = reconcile.invalid(again.state, found, before=first, now=lab.clock.now())

    for type_ in (Type.CREDENTIALS_VALID, Type.READY):
        for state in (first, second):
            shown = state.find(type_)
            assert shown is not None
            assert (shown.status, shown.reason, shown.at) == (Status.FALSE, Reason.SECRET_MISSING, at)
            assert shown.observed_generation == 2
    registered = second.find(Type.REGISTERED)
    assert registered is not None
    assert registered.status is Status.TRUE


async def test_what_the_sender_says_of_the_account_is_a_condition(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        good = await lab.reconcile()
        requests = await lab.requests()

        paused = reconcile.sending(lab.provider, good.state, pause="money", now=lab.clock.now())
        resumed = reconcile.sending(lab.provider, paused, pause="", now=lab.clock.now())

        assert await lab.requests() == requests
    shown = paused.find(Type.SENDING)
    assert shown is not None
    assert (shown.status, shown.reason) == (Status.FALSE, Reason.ACCOUNT_PAUSED)
    assert "money" in shown.message
    ready = paused.find(Type.READY)
    assert ready is not None
    assert ready.reason is Reason.ACCOUNT_PAUSED
    assert resumed.ready


async def test_a_certificate_that_nobody_trusts_is_a_condition(store: Store, tmp_path: Path) -> None:
    files = certificates.write(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server, files.server_key)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server, provisioning_lab.running(store) as lab:
        await lab.install()
        provider = replace(lab.provider, public_url=f"https://127.0.0.1:{port}")

        untrusted = await lab.reconcile(provider)
        trusting = replace(
            lab.clients,
            public_urls=PublicUrls(
                interval_seconds=600,
                context=lambda: ssl.create_default_context(cafile=str(files.authority)),
            ),
        )
        lab.clients = trusting
        trusted = await lab.reconcile(provider)

        assert said(untrusted)[Type.REGISTERED] == (Status.FALSE, Reason.PUBLIC_URL_UNTRUSTED)
        assert said(untrusted)[Type.READY] == (Status.FALSE, Reason.PUBLIC_URL_UNTRUSTED)
        assert "certificate of a public authority" in message(untrusted, Type.REGISTERED)
        assert untrusted.again
        assert said(trusted)[Type.READY] == (Status.TRUE, Reason.ALL_GOOD)
        assert len(await lab.senders()) == 1


@pytest.mark.parametrize("url", ["https://127.0.0.1:9", "https://name.invalid", "http://127.0.0.1:9"])
async def test_an_address_that_cannot_be_seen_says_nothing(url: str) -> None:
    assert await PublicUrls(interval_seconds=600).distrust(url) == ""
