"""The operator against a real API server, under its own ServiceAccount and nothing else."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import lightkube
import pytest
from lightkube.resources.core_v1 import Secret
from lightkube.resources.rbac_authorization_v1 import Role

from smsbridge.core.installation import EventKind
from smsbridge.store.connection import Store
from tests.flow.harness import until
from tests.operator import lab as labs
from tests.operator.apiserver import ApiServer
from tests.operator.lab import WAIT_SECONDS, Lab
from tests.wire.provisioning_lab import CLIENT_ID, DOMAIN


@pytest.fixture
async def lab(api_server: ApiServer, store: Store, tmp_path: Path) -> AsyncIterator[Lab]:
    async with labs.running(api_server, store, tmp_path) as made:
        yield made


async def codes(lab: Lab) -> set[object]:
    assert lab.portal is not None
    return {sender["code"] for sender in await lab.portal.senders()}


async def install(lab: Lab) -> None:
    """As the gateway does when the portal's event came."""
    assert lab.portal is not None
    await lab.portal.install()


async def test_from_an_applied_resource_to_ready(lab: Lab) -> None:
    operator = lab.operator()
    await operator.start()
    lab.apply("smsc")

    waits = await lab.comes("smsc", "Ready", "NotInstalled")
    assert "enter the installUrl" in waits["message"]
    assert "as administrator" in waits["message"]
    assert (await lab.told("smsc", "NotInstalled"))[0] == "Warning"
    assert lab.condition("smsc", "CredentialsValid")["status"] == "True"

    await install(lab)
    ready = await lab.comes("smsc", "Ready", "AllGood")

    found = lab.find("smsc")
    assert found is not None
    status = found["status"]
    base = f"http://127.0.0.1:8080/bitrix24/{lab.namespace}/smsc/***"
    assert (status["handlerUrl"], status["installUrl"]) == (f"{base}/handler", f"{base}/install")
    assert status["callbackUrl"] == f"http://127.0.0.1:8080/smsc/{lab.namespace}/smsc/***/callback"
    assert status["balance"] == "1000000.00"
    assert status["lastSync"]
    assert status["observedGeneration"] == found["metadata"]["generation"] == 1
    assert {c["type"]: c["status"] for c in status["conditions"]} == dict.fromkeys(
        (
            "CredentialsValid",
            "PortalAuthorized",
            "Registered",
            "FieldsReady",
            "RobotsReady",
            "Sending",
            "Ready",
        ),
        "True",
    )
    assert lab.condition("smsc", "FieldsReady")["reason"] == "FieldsPresent"
    assert lab.condition("smsc", "RobotsReady")["reason"] == "RobotsRegistered"
    assert status["hlrUrl"] == f"{base}/hlr"
    assert ready["lastTransitionTime"] > waits["lastTransitionTime"]
    credentials = lab.condition("smsc", "CredentialsValid")
    assert credentials["lastTransitionTime"] == waits["lastTransitionTime"]
    assert await codes(lab) == {"smsc"}
    assert (await lab.told("smsc", "AllGood"))[0] == "Normal"
    assert found["metadata"]["finalizers"] == ["smsbridge.dev/provider"]
    assert (await operator.readiness())[0] == 200
    assert await operator.metric('smsbridge_reconciliations_total{result="failed"}') == 0
    assert await operator.stop() == 0
    assert operator.problems() == []


async def test_a_secret_is_followed(lab: Lab) -> None:
    operator = lab.operator()
    await operator.start()
    await install(lab)
    lab.secret("account", login="guide", password="wrong")
    lab.apply("smsc")
    await lab.comes("smsc", "CredentialsValid", "LoginRefused")

    lab.secret("account", login="guide", password="secret-guide")
    await lab.comes("smsc", "Ready", "AllGood")

    lab.forget_secret("account")
    missing = await lab.comes("smsc", "CredentialsValid", "SecretMissing")
    assert f"there is no Secret account in namespace {lab.namespace}" in missing["message"]
    assert lab.condition("smsc", "Ready")["reason"] == "SecretMissing"
    assert lab.condition("smsc", "PortalAuthorized")["status"] == "True"

    lab.secret("account", password="secret-guide")
    await lab.comes("smsc", "CredentialsValid", "SecretMissing")
    lab.secret("account", login="guide", password="secret-guide")
    await lab.comes("smsc", "Ready", "AllGood")
    lab.forget_secret("application")
    missing = await lab.comes("smsc", "PortalAuthorized", "SecretMissing")
    assert "there is no Secret application" in missing["message"]


async def test_a_resource_before_its_secrets(lab: Lab) -> None:
    lab.forget_secret("account")
    operator = lab.operator()
    await operator.start()
    await install(lab)
    lab.apply("smsc")
    ready = await lab.comes("smsc", "Ready", "SecretMissing")
    assert ready["observedGeneration"] == 1
    assert await codes(lab) == set()

    lab.secret("account", login="guide", password="secret-guide")

    await lab.comes("smsc", "Ready", "AllGood")


async def test_what_was_removed_by_hand_is_put_back_and_told(lab: Lab) -> None:
    operator = lab.operator(PROVISIONING__INTERVAL_SECONDS="8")
    await operator.start()
    await install(lab)
    lab.apply("smsc")
    await lab.comes("smsc", "Ready", "AllGood")
    application = lab.sandbox.portals.by_domain[DOMAIN].applications[CLIENT_ID]

    application.senders.clear()
    application.activities.clear()
    application.bindings.clear()

    kind, _, message = await lab.told("smsc", "PutBack")
    assert (kind, await codes(lab)) == ("Warning", {"smsc"})
    assert "registered again" in message
    assert (len(application.activities), len(application.bindings)) == (4, 2)


async def test_a_changed_registration_is_repaired_without_a_word(lab: Lab) -> None:
    operator = lab.operator(PROVISIONING__INTERVAL_SECONDS="8")
    await operator.start()
    await install(lab)
    lab.apply("smsc")
    await lab.comes("smsc", "Ready", "AllGood")
    await lab.told("smsc", "AllGood")
    before = lab.events("smsc")
    senders = lab.sandbox.portals.by_domain[DOMAIN].applications[CLIENT_ID].senders

    def shown() -> list[tuple[object, object]]:
        return [(sender.handler, sender.name) for sender in senders.values()]

    right = shown()
    for sender in senders.values():
        sender.handler, sender.name = "https://elsewhere.example.com/", "Another"

    async def repaired() -> bool:
        return shown() == right

    await until(repaired, seconds=WAIT_SECONDS, what=lab.what)
    assert lab.events("smsc") == before


async def test_the_portals_events_lead_to_registration(lab: Lab) -> None:
    operator = lab.operator()
    await operator.start()
    lab.apply("smsc")
    await lab.comes("smsc", "Ready", "NotInstalled")
    await install(lab)
    await lab.comes("smsc", "Ready", "AllGood")
    assert lab.portal is not None
    await lab.portal.install(kind=EventKind.UPDATE)  # the portal forgets its senders

    async def registered() -> bool:
        return await codes(lab) == {"smsc"}

    await until(registered, seconds=15, what=lab.what)
    assert not [event for event in lab.events("smsc") if event[1] == "PutBack"]


async def test_killed_in_the_middle_it_goes_on(lab: Lab) -> None:
    await install(lab)
    first = lab.operator()
    await first.start()
    names = [f"smsc-{number}" for number in range(6)]
    for name in names[:3]:
        lab.apply(name)
    await lab.comes(names[0], "Ready", "AllGood")
    for name in names[3:]:
        lab.apply(name)
    lab.delete(names[1])
    await first.kill()
    lab.delete(names[2])

    second = lab.operator()
    await second.start()

    for name in (names[0], *names[3:]):
        await lab.comes(name, "Ready", "AllGood")
    await lab.goes(names[1])
    await lab.goes(names[2])
    assert await codes(lab) == {names[0], *names[3:]}


async def test_deleted_cleanly(lab: Lab) -> None:
    operator = lab.operator()
    await operator.start()
    await install(lab)
    lab.apply("taken")
    lab.apply("kept", deletionPolicy="Retain")
    for name in ("taken", "kept"):
        await lab.comes(name, "Ready", "AllGood")

    for name in ("taken", "kept"):
        lab.delete(name)
        await lab.goes(name)

    assert await codes(lab) == {"kept"}
    assert await operator.stop() == 0
    assert operator.problems() == []


async def test_nothing_out_there_holds_a_deletion(lab: Lab) -> None:
    operator = lab.operator(OPERATOR__REMOVAL_WAIT_SECONDS="1")
    await operator.start()
    await install(lab)
    names = ("uninstalled", "secretless", "gone")
    for name in names:
        lab.apply(name)
    for name in names:
        await lab.comes(name, "Ready", "AllGood")
    assert lab.portal is not None

    lab.forget_secret("application")
    await lab.comes("secretless", "PortalAuthorized", "SecretMissing")
    lab.delete("secretless")
    await lab.goes("secretless")
    lab.secret("application", clientId=CLIENT_ID, clientSecret="sandbox-client-secret")
    await lab.portal.uninstall()
    lab.delete("uninstalled")
    await lab.goes("uninstalled")
    await lab.portal.control.delete_portal(DOMAIN)
    lab.delete("gone")
    await lab.goes("gone")


async def test_a_pause_and_a_wrong_word_are_shown(lab: Lab) -> None:
    operator = lab.operator()
    await operator.start()
    await install(lab)
    lab.apply("smsc")
    await lab.comes("smsc", "Ready", "AllGood")

    lab.change("smsc", paused=True)
    paused = await lab.comes("smsc", "Sending", "Paused")
    assert (paused["status"], paused["observedGeneration"]) == ("False", 2)
    lab.change("smsc", paused=False)
    await lab.comes("smsc", "Ready", "AllGood")

    lab.change("smsc", routing={"rules": [{"name": "a", "when": {"textMatches": "("}, "channel": "sms"}]})
    wrong = await lab.comes("smsc", "Ready", "InvalidSpec")
    assert "spec.routing.rules.0.when.textMatches" in wrong["message"]
    assert wrong["observedGeneration"] == 4
    assert lab.condition("smsc", "Registered")["status"] == "True"
    lab.change("smsc", routing={"rules": None})
    good = await lab.comes("smsc", "Ready", "AllGood")
    assert good["observedGeneration"] == 5
    assert (lab.find("smsc") or {})["status"]["observedGeneration"] == 5


async def test_two_of_one_code_in_one_portal(lab: Lab) -> None:
    operator = lab.operator()
    await operator.start()
    await install(lab)
    lab.apply("first", code="smsc")
    await lab.comes("first", "Ready", "AllGood")
    lab.apply("second", code="smsc")

    wrong = await lab.comes("second", "Ready", "InvalidSpec")
    assert f"{lab.namespace}/first has it in the same portal" in wrong["message"]
    lab.delete("first")
    await lab.goes("first")
    await lab.comes("second", "Ready", "AllGood")
    assert await codes(lab) == {"smsc"}


async def test_one_acts_and_the_next_takes_over(lab: Lab) -> None:
    first, second = lab.operator(), lab.operator()
    await first.start()
    await install(lab)
    lab.apply("smsc")
    await lab.comes("smsc", "Ready", "AllGood")
    await second.start()

    code, sentence = await second.readiness()
    assert (code, "another operator is at work" in sentence) == (503, True)
    assert await second.metric("smsbridge_operator_leading") == 0
    await first.kill()
    lab.apply("more")

    await lab.comes("more", "Ready", "AllGood")
    assert await second.metric("smsbridge_operator_leading") == 1
    assert not [
        line for line in second.lines() if line["event"] == "provider_published" and line["generation"] != 1
    ]


async def test_fifty_at_once(lab: Lab) -> None:
    operator = lab.operator()
    await operator.start()
    await install(lab)
    assert lab.portal is not None
    before = await lab.portal.requests()
    names = {f"smsc-{number:02}" for number in range(50)}
    for name in sorted(names):
        lab.apply(name)

    async def all_ready() -> bool:
        return all(lab.condition(name, "Ready").get("status") == "True" for name in names)

    await until(all_ready, seconds=180, what=operator.tail, pause=1)

    traffic = await lab.portal.control.traffic(DOMAIN)
    assert await codes(lab) == names
    assert (traffic.status_503, traffic.status_429) == (0, 0)
    once = {f"crm.{entity}.userfield.add": 5 for entity in ("contact", "lead", "company")}
    steps = {"bizproc.robot.add": 100, "bizproc.activity.add": 100}
    expected = {"messageservice.sender.add": 50, "event.bind": 100, **steps, **once}
    assert {method: traffic.by_method[method] for method in expected} == expected
    # Beside these one look for each, and one request that makes the portal's custom fields for all of them;
    # a few look again, when their turn at the limiter had come too late.
    assert 3 * len(names) + 1 <= traffic.requests - before < 4 * len(names)
    assert await lab.portal.balance_requests() == 1
    assert operator.memory_mib() < 150
    assert operator.problems() == []


async def test_its_rights_are_those_that_it_uses_and_no_others(lab: Lab) -> None:
    operator = lab.operator()
    await operator.start()
    await install(lab)
    lab.apply("smsc")
    await lab.comes("smsc", "Ready", "AllGood")
    await lab.told("smsc", "AllGood")
    lab.secret("account", login="guide", password="wrong")
    await lab.comes("smsc", "Ready", "LoginRefused")
    lab.delete("smsc")
    await lab.goes("smsc")
    await operator.stop()

    granted = {
        (group, resource, verb)
        for role in lab.client.list(Role, namespace=lab.namespace)
        for rule in role.rules
        for group in rule.apiGroups
        for resource in rule.resources
        for verb in rule.verbs
    }
    assert lab.requests() == {(what, "allow") for what in granted}


async def test_it_reads_no_other_namespace(lab: Lab) -> None:
    lab.operator()
    own = lab.server.client(lab.directory / "operator.kubeconfig")
    refused: list[Any] = []
    for attempt in (
        lambda: list(own.list(Secret, namespace="default")),
        lambda: own.get(Secret, "account", namespace=lab.namespace),
        lambda: own.delete(Secret, "account", namespace=lab.namespace),
        lambda: own.create(Secret.from_dict({"metadata": {"name": "x", "namespace": lab.namespace}})),
    ):
        with pytest.raises(lightkube.ApiError) as caught:
            attempt()
        refused.append(caught.value.status.code)
    assert refused == [403, 403, 403, 403]
