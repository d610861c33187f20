"""What a real API server makes of an `SmscProvider`: defaults, refusals and their sentences, immutability."""

import time
from typing import Any

import lightkube
import lightkube.types
import pytest
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition

from smsbridge.provisioning import spec as specs
from smsbridge_operator import crd
from tests.operator import resources
from tests.operator.apiserver import ApiServer
from tests.operator.resources import Provider, body

Client = lightkube.Client
MERGE = lightkube.types.PatchType.MERGE


def rule(*, when: Any = None) -> dict[str, Any]:
    return {"name": "codes", "when": {"phonePrefix": ["7999"]} if when is None else when, "channel": "sms"}


@pytest.fixture(scope="module")
def server(api_server: ApiServer) -> Client:
    """With the definition and the policy in force, which the server sees some time after its creation."""
    client = api_server.client()
    resources.install_definition(client)
    namespace = resources.make_namespace(client, "ready")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if refusal(client, body("probe", namespace, description={"ru": "Карта"})):
            return client
        time.sleep(0.2)
    raise AssertionError("the policy did not come into force")


@pytest.fixture
def namespace(server: Client) -> str:
    return resources.make_namespace(server, "resource")


def refusal(client: Client, wanted: dict[str, Any]) -> str:
    """The server's sentence; empty where it accepts."""
    try:
        client.create(Provider.from_dict(wanted), dry_run=True)  # type: ignore[call-overload]
    except lightkube.ApiError as error:
        return str(error.status.message)
    return ""


def test_the_definition_is_established(server: Client) -> None:
    found = server.get(CustomResourceDefinition, crd.NAME)
    conditions = {item.type: item.status for item in found.status.conditions}
    assert conditions["Established"] == "True"
    assert "NonStructuralSchema" not in conditions


def test_defaults_appear(server: Client, namespace: str) -> None:
    made = server.create(Provider.from_dict(body("plain", namespace, smsc__prices={"sms": "4.00"})))

    spec = made.to_dict()["spec"]
    assert spec["routing"] == {
        "channel": "sms",
        "order": ["viber", "sms"],
        "viberTimeout": "1h",
        "viberStopsOn": "delivered",
        "learnPreferredChannel": True,
    }
    assert spec["batching"] == {"maxNumbers": 100, "linger": "5s", "interactiveLinger": "200ms"}
    assert spec["validity"] == {"interactive": "1h", "bulk": "24h"}
    assert spec["smsc"]["api"] == "guide"
    assert (spec["paused"], spec["deletionPolicy"], spec["sandbox"]) == (False, "Unregister", False)
    assert spec["hlr"]["dailyBudget"] == "500.00"
    # What the server has filled in means the same as what was written.
    written = body("plain", namespace, smsc__prices={"sms": "4.00"})["spec"]
    assert specs.SmscProviderSpec.model_validate(spec) == specs.SmscProviderSpec.model_validate(written)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": {"ru": "СМС", "en": "SMS"}, "description": {"ru": "Карта"}},
        {"description": "By SMS"},
        {"publicUrl": "https://sms.example.com:8443/path"},
        {"publicUrl": "http://127.0.0.1:8080", "sandbox": True, "smsc__baseUrl": "http://localhost:8090"},
        {"routing__order": ["sms", "viber"], "smsc__api": "http"},
        {"routing__viberTimeout": "5s", "sandbox": True},
        {"routing__rules": [rule(when={"textMatches": r"(?i)\bкод\b"})]},
        {"hlr": {"beforeSend": "cached", "skipUnavailable": True}},
        {"batching__linger": "0", "validity__bulk": "72h"},
    ],
    ids=lambda changes: "+".join(changes) or "the least",
)  # fmt: skip
def test_what_is_right_is_accepted(server: Client, namespace: str, changes: dict[str, Any]) -> None:
    assert refusal(server, body("right", namespace, **changes)) == ""


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"code": "my code"}, "code may have 1 to 128 of A-Z a-z 0-9 . - _"),
    ({"code": "x" * 129}, "code may have 1 to 128"),
    ({"code": None}, "spec.code: Required value"),
    ({"name": None}, "spec.name: Required value"),
    ({"publicUrl": None}, "spec.publicUrl: Required value"),
    ({"portal__appSecretRef": None}, "spec.portal.appSecretRef: Required value"),
    ({"smsc__accountSecretRef": None}, "spec.smsc.accountSecretRef: Required value"),
    ({"publicUrl": "http://sms.example.com"}, "publicUrl must begin with https://"),
    ({"publicUrl": "https://localhost"}, "publicUrl needs a host name that Bitrix24 and"),
    ({"publicUrl": "https://192.0.2.7"}, "publicUrl needs a host name that Bitrix24 and"),
    ({"publicUrl": "https://[2001:db8::1]"}, "publicUrl needs a host name that Bitrix24 and"),
    ({"publicUrl": "https://printer.local"}, "publicUrl needs a host name that Bitrix24 and"),
    ({"publicUrl": "https://x.crm.svc:8080/a"}, "publicUrl needs a host name that Bitrix24 and"),
    ({"publicUrl": "ftp://sms.example.com"}, "publicUrl must be https://HOST or https://HOST/PATH"),
    ({"publicUrl": "https://sms.example.com/?a=1"}, "publicUrl must be https://HOST or https://HOST/PATH"),
    ({"publicUrl": "https://me@sms.example.com"}, "publicUrl must be https://HOST or https://HOST/PATH"),
    ({"portal__domain": "https://example.bitrix24.ru"}, "domain is a host name alone"),
    ({"portal__domain": "localhost"}, "portal.domain is no public host name"),
    ({"smsc__baseUrl": "https://smsc.example.com"}, "smsc.baseUrl stands for https://smsc.ru in"),
    ({"portal__endpoint": "https://a.example.com"}, "portal.endpoint stands for the portal's own address"),
    ({"portal__oauthEndpoint": "https://a.example.com"}, "portal.oauthEndpoint stands for the OAuth host"),
    ({"description": {"ru": "Карта"}}, "spec.description must be a text where spec.name is a text"),
    ({"name": {"ru": "СМС"}, "description": "SMS"}, "and a map by language where it is a map"),
    ({"name": 5}, "spec.name and spec.description must be a text, or texts by language"),
    ({"name": {"russian": "СМС"}}, "languages of two lower-case letters"),
    ({"routing__order": ["sms", "viber"]}, "routing.order [sms, viber] needs smsc.api: http"),
    ({"routing__order": ["viber"]}, "order must name sms and viber once each"),
    ({"routing__order": ["sms", "sms"]}, "order must name sms and viber once each"),
    ({"routing__channel": "fax"}, 'Unsupported value: "fax"'),
    ({"routing__viberTimeout": "5s"}, "routing.viberTimeout must be 60s to 24h"),
    ({"routing__viberTimeout": "25h"}, "viberTimeout must be 60s to 24h"),
    ({"routing__viberTimeout": "soon"}, "spec.routing.viberTimeout"),
    ({"routing__rules": [rule(when={})]}, "a rule needs at least one condition"),
    ({"routing__rules": [rule(when={"origin": []})]}, "at least one condition"),
    (
        {"routing__rules": [rule(), rule()]},
        "rules must each have a name of its own",
    ),
    ({"batching__maxNumbers": 101}, "should be less than or equal to 100"),
    ({"batching__maxNumbers": 0}, "should be greater than or equal to 1"),
    ({"batching__linger": "61s"}, "linger must be 0s to 60s"),
    ({"batching__interactiveLinger": "6s"}, "interactiveLinger must be 0s to 5s"),
    ({"validity__interactive": "30s"}, "interactive must be 1m to 72h"),
    ({"validity__bulk": "73h"}, "bulk must be 1m to 72h"),
    ({"hlr__skipUnavailable": True}, "skipUnavailable needs beforeSend: cached or always"),
    ({"hlr__cacheTtl": {"absent": "9000h"}}, "absent must be 1m to 8760h"),
    ({"hlr__dailyBudget": "a lot"}, "spec.hlr.dailyBudget"),
    ({"smsc__prices": {"sms": 4.5}}, "spec.smsc.prices.sms"),
    ({"deletionPolicy": "Keep"}, 'Unsupported value: "Keep"'),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "sentence"), REFUSED, ids=[str(n) for n in range(len(REFUSED))])
def test_what_is_wrong_is_refused(
    server: Client, namespace: str, changes: dict[str, Any], sentence: str
) -> None:
    assert sentence in refusal(server, body("wrong", namespace, **changes))


def test_the_code_stays(server: Client, namespace: str) -> None:
    server.create(Provider.from_dict(body("kept", namespace)))

    with pytest.raises(lightkube.ApiError) as caught:
        server.patch(Provider, "kept", {"spec": {"code": "other"}}, namespace=namespace, patch_type=MERGE)

    assert "code is immutable: robots and letters keep it" in str(caught.value.status.message)
    server.patch(Provider, "kept", {"spec": {"name": "Another"}}, namespace=namespace, patch_type=MERGE)


def test_a_status_is_written_on_its_own(server: Client, namespace: str) -> None:
    server.create(Provider.from_dict(body("told", namespace)))
    for resource, queued in ((Provider.Status, 3), (Provider, 9)):
        status = {"status": {"queued": queued}}
        server.patch(resource, "told", status, namespace=namespace, patch_type=MERGE)

    found = server.get(Provider, "told", namespace=namespace).to_dict()

    assert found["status"] == {"queued": 3}
    assert found["metadata"]["generation"] == 1


def test_a_false_reason_is_refused(server: Client, namespace: str) -> None:
    server.create(Provider.from_dict(body("false", namespace)))
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Whatever",
        "message": "",
        "lastTransitionTime": None,
    }
    status = {"status": {"conditions": [condition]}}
    with pytest.raises(lightkube.ApiError) as caught:
        server.patch(Provider.Status, "false", status, namespace=namespace, patch_type=MERGE)
    assert 'Unsupported value: "Whatever"' in str(caught.value.status.message)
