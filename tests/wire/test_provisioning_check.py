"""`provider check` asks and never sends: account, API profile, portal, rights, registration."""

from dataclasses import replace
from typing import Any

import pytest

from smsbridge.core.provider import AccountSettings, Profile, Provider
from smsbridge.provisioning import check, spec
from smsbridge.provisioning.check import Report, Verdict
from smsbridge.provisioning.spec import EnrichLeads
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.smsc import account as accounts
from smsbridge.smsc import transport
from smsbridge.store.connection import Store
from tests.wire import provisioning_lab
from tests.wire.provisioning_lab import CLIENT_ID, DOMAIN, Lab


async def checked(lab: Lab, provider: Provider, crm: spec.CrmSection | None = None) -> Report:
    probe = transport.Transport(connect_timeout_seconds=2, keep_alive_seconds=4, max_answer_bytes=65536)
    try:
        found = await lab.installations.for_provider(provider)
        return await check.check(provider, found, smsc=lab.smsc, probe=probe, portals=lab.portals, crm=crm)
    finally:
        await probe.close()


def verdicts(report: Report) -> dict[str, Verdict]:
    return {line.what: line.verdict for line in report.lines}


def account(lab: Lab, login: str, declared: Profile) -> Provider:
    settings = AccountSettings(lab.sandbox.smsc_url, declared, login, f"secret-{login}")
    return replace(lab.provider, account=settings)


@pytest.mark.parametrize(
    ("login", "declared", "verdict"),
    [
        ("guide", Profile.GUIDE, Verdict.OK),
        ("http", Profile.HTTP, Verdict.OK),
        ("guide", Profile.HTTP, Verdict.BAD),
        ("http", Profile.GUIDE, Verdict.BAD),
    ],
)
async def test_it_tells_which_profile_the_account_answers_to_and_sends_nothing(
    store: Store, login: str, declared: Profile, verdict: Verdict
) -> None:
    async with provisioning_lab.running(store) as lab:
        report = await checked(lab, account(lab, login, declared))
        ledger = await lab.control.ledger(login)

    assert report.profile is accounts.Profile(login)
    assert verdicts(report)["profile"] is verdict
    assert verdicts(report)["account"] is Verdict.OK
    assert (ledger.messages, ledger.accepted_requests, ledger.secrets_in_url) == (0, 0, 0)


async def test_a_silent_account_cannot_be_told(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.control.smsc_fault("guide", Fault(kind=FaultKind.HTML, call="balance"))
        report = await checked(lab, lab.provider)

    assert verdicts(report)["account"] is Verdict.UNKNOWN
    assert report.profile is None


async def test_a_wrong_password_is_bad(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        report = await checked(lab, lab.with_password("wrong"))

    assert verdicts(report)["account"] is Verdict.BAD
    assert not report.good


async def test_a_portal_in_order(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        await lab.reconcile()
        report = await checked(lab, lab.provider)

    assert report.good
    assert set(verdicts(report)) == {
        "account",
        "profile",
        "installation",
        "application",
        "administrator",
        "scopes",
        "registration",
    }
    assert set(verdicts(report).values()) == {Verdict.OK}


async def test_a_portal_without_installation(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        report = await checked(lab, lab.provider)

    assert verdicts(report)["installation"] is Verdict.BAD


async def test_an_employees_token_and_a_missing_registration(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install(user_id=7)
        employee = await checked(lab, lab.provider)
        lab.clock.move(10)
        await lab.install()
        unregistered = await checked(lab, lab.provider)

    assert verdicts(employee)["administrator"] is Verdict.BAD
    assert verdicts(unregistered)["registration"] is Verdict.BAD


async def test_a_portal_that_does_not_answer_cannot_be_told(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        await lab.control.portal_fault(DOMAIN, Fault(kind=FaultKind.HTTP_500))
        report = await checked(lab, lab.provider)

    assert verdicts(report)["application"] is Verdict.UNKNOWN


SCOPES = [
    ({"crm", "bizproc"}, {}, Verdict.OK, []),
    ({"crm"}, {}, Verdict.OK, ["spec.crm.robots is true, but without bizproc there are no robots"]),
    ({"crm"}, {"robots": False}, Verdict.OK, []),
    ({"bizproc"}, {}, Verdict.OK, ["without crm there are no custom fields"]),
    (
        {"bizproc"},
        {"enrich_leads": EnrichLeads.CALLS},
        Verdict.BAD,
        ["spec.crm.enrichLeads is calls, but without crm no lead is seen, and there are no custom fields"],
    ),
    (
        set(),
        {"enrich_leads": EnrichLeads.ALL},
        Verdict.BAD,
        ["spec.crm.enrichLeads is all,", "spec.crm.robots is true,"],
    ),
]


@pytest.mark.parametrize(("granted", "crm", "verdict", "told"), SCOPES)
async def test_a_scope_that_the_spec_needs_is_named(
    store: Store, granted: set[str], crm: dict[str, Any], verdict: Verdict, told: list[str]
) -> None:
    async with provisioning_lab.running(store) as lab:
        settings = lab.sandbox.portals.by_domain[DOMAIN].applications[CLIENT_ID].settings
        settings.scope = ["messageservice", *sorted(granted)]
        await lab.install()
        await lab.reconcile()

        report = await checked(lab, lab.provider, spec.CrmSection.model_construct(**crm))

    (line,) = (line for line in report.lines if line.what == "scopes")
    assert line.verdict is verdict
    assert all(sentence in line.sentence for sentence in told)
    assert ("add what you want" in line.sentence) is bool(told)
