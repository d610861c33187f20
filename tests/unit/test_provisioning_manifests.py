"""Manifests: what is good becomes a Provider; what is bad is named, with its mending, and stops no other."""

import copy
from decimal import Decimal
from typing import Any

import pytest
import yaml

from smsbridge.core.message import Channel, Origin, Route
from smsbridge.core.provider import DeletionPolicy, Profile, ViberStop
from smsbridge.provisioning import manifests
from smsbridge.provisioning.convert import Declared

PROVIDER: dict[str, Any] = {
    "apiVersion": "smsbridge.dev/v1alpha1",
    "kind": "SmscProvider",
    "metadata": {"name": "smsc", "namespace": "crm"},
    "spec": {
        "code": "smsc",
        "name": "SMSC.ru",
        "publicUrl": "https://sms.example.com",
        "portal": {"domain": "example.bitrix24.ru", "appSecretRef": {"name": "app"}},
        "smsc": {"accountSecretRef": {"name": "account"}},
    },
}
APP: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "app", "namespace": "crm"},
    "stringData": {"clientId": "local.1", "clientSecret": "app-secret-value"},
}
ACCOUNT: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "account", "namespace": "crm"},
    "data": {"login": "bG9naW4K", "password": "cGFzc3dvcmQtdmFsdWU="},
}
MISSING = object()


def changed(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy with one value set at a dotted path; MISSING takes it away."""
    result = copy.deepcopy(document)
    *parents, last = path.split(".")
    place = result
    for part in parents:
        place = place.setdefault(part, {})
    if value is MISSING:
        place.pop(last, None)
    else:
        place[last] = value
    return result


def read(*documents: dict[str, Any]) -> manifests.Manifests:
    return manifests.read(yaml.safe_dump_all(documents, allow_unicode=True))


def declared(*changes: tuple[str, object]) -> Declared:
    document = PROVIDER
    for path, value in changes:
        document = changed(document, path, value)
    result = read(document, APP, ACCOUNT)
    assert result.errors == ()
    (one,) = result.declared
    return one


def errors_of(path: str, value: object) -> list[tuple[str, str]]:
    result = read(changed(PROVIDER, path, value), APP, ACCOUNT)
    assert result.declared == ()
    assert {error.label for error in result.errors} <= {"crm/smsc", ""}
    return [(error.field, error.sentence) for error in result.errors]


def test_the_least_that_is_needed_has_the_documented_defaults() -> None:
    provider = declared().provider

    assert (provider.namespace, provider.name, provider.code, provider.uid) == ("crm", "smsc", "smsc", "")
    assert provider.public_url == "https://sms.example.com"
    assert provider.portal.domain == "example.bitrix24.ru"
    assert (provider.portal.client_id, provider.portal.client_secret) == ("local.1", "app-secret-value")
    assert (provider.account.login, provider.account.password) == ("login", "password-value")
    assert provider.account.base_url == "https://smsc.ru"
    assert provider.account.profile is Profile.GUIDE
    assert provider.routing.route is Route.SMS
    assert provider.routing.order == (Channel.VIBER, Channel.SMS)
    assert provider.routing.viber_timeout_seconds == 3600
    assert provider.routing.viber_stops_on is ViberStop.DELIVERED
    assert provider.routing.learn_preferred_channel
    assert (provider.batching.max_numbers, provider.batching.linger_ms) == (100, 5000)
    assert provider.batching.interactive_linger_ms == 200
    assert (provider.validity.interactive_seconds, provider.validity.bulk_seconds) == (3600, 86400)
    assert provider.deletion_policy is DeletionPolicy.UNREGISTER
    assert not provider.paused
    assert not provider.sandbox


def test_sections_of_other_parts_are_checked_and_kept() -> None:
    sections = declared(("spec.crm.enrichLeads", "calls"), ("spec.hlr.cacheTtl.active", "48h")).sections

    assert sections["crm"]["enrichLeads"] == "calls"
    assert sections["crm"]["fields"]["operator"] == "UF_CRM_OPERATOR"
    assert sections["hlr"] == {
        "beforeSend": "never",
        "skipUnavailable": False,
        "cacheTtl": {"active": "48h", "unavailable": "24h", "absent": "2160h"},
        "dailyBudget": "500.00",
    }


def test_everything_given_is_taken() -> None:
    provider = declared(
        ("metadata.uid", "7f1c"),
        ("spec.name", {"ru": "СМС", "en": "SMS"}),
        ("spec.description", {"ru": "Описание"}),
        ("spec.smsc.api", "http"),
        ("spec.smsc.senderId", "ACME"),
        ("spec.smsc.prices", {"sms": "4.00", "viber": "2.30"}),
        ("spec.routing.channel", "cascade"),
        ("spec.routing.order", ["sms", "viber"]),
        ("spec.routing.viberTimeout", "1h30m"),
        ("spec.routing.viberStopsOn", "read"),
        (
            "spec.routing.rules",
            [
                {"name": "codes", "when": {"textMatches": r"(?i)\bкод\b"}, "channel": "sms"},
                {
                    "name": "far",
                    "when": {"origin": "marketing", "phonePrefix": ["+7999", "375"], "documentType": "LEAD"},
                    "channel": "viber",
                },
            ],
        ),
        ("spec.batching", {"maxNumbers": 10, "linger": "0s", "interactiveLinger": "1500ms"}),
        ("spec.validity", {"interactive": "1m", "bulk": "72h"}),
        ("spec.paused", True),
        ("spec.deletionPolicy", "Retain"),
    ).provider

    assert provider.uid == "7f1c"
    assert provider.display_name == {"ru": "СМС", "en": "SMS"}
    assert provider.prices.sms == Decimal("4.00")
    assert provider.prices.hlr is None
    assert provider.routing.viber_timeout_seconds == 5400
    first, second = provider.routing.rules
    assert (first.name, first.text_matches, first.route) == ("codes", r"(?i)\bкод\b", Route.SMS)
    assert second.origins == frozenset({Origin.MARKETING})
    assert second.phone_prefixes == ("7999", "375")
    assert second.document_types == frozenset({"LEAD"})
    assert (provider.batching.linger_ms, provider.batching.interactive_linger_ms) == (0, 1500)
    assert (provider.validity.interactive_seconds, provider.validity.bulk_seconds) == (60, 259200)
    assert provider.paused
    assert provider.deletion_policy is DeletionPolicy.RETAIN


def test_the_sandbox_allows_local_addresses_and_overrides() -> None:
    provider = declared(
        ("spec.sandbox", True),
        ("spec.publicUrl", "http://127.0.0.1:8080/"),
        ("spec.smsc.baseUrl", "http://127.0.0.1:9/smsc/"),
        ("spec.portal.endpoint", "http://localhost:9/rest/"),
        ("spec.portal.oauthEndpoint", "http://localhost:9/oauth"),
        ("spec.routing.viberTimeout", "1s"),
    ).provider

    assert provider.public_url == "http://127.0.0.1:8080"
    assert provider.account.base_url == "http://127.0.0.1:9/smsc"
    assert provider.portal.endpoint == "http://localhost:9/rest/"
    assert provider.routing.viber_timeout_seconds == 1


BAD_FIELDS: list[tuple[str, object, str, str]] = [
    # path, value, field named, a part of the mending
    ("spec.code", MISSING, "spec.code", "is required"),
    ("spec.code", "has space", "spec.code", "A-Z a-z 0-9 . - _"),
    ("spec.code", "x" * 129, "spec.code", "up to 128"),
    ("spec.code", 5, "spec.code", "put it in quotes"),
    ("spec.name", MISSING, "spec.name", "is required"),
    ("spec.name", "", "spec.name", "is empty"),
    ("spec.name", {"rus": "x"}, "spec.name", "two lower-case letters"),
    ("spec.name", {"RU": "x"}, "spec.name", "two lower-case letters"),
    ("spec.name", 5, "spec.name", "must be a text"),
    ("spec.name", "x" * 501, "spec.name", "500"),
    ("spec.description", {"ru": "x"}, "spec.description", "must be a text where name is a text"),
    ("spec.description", "x" * 1001, "spec.description", "1000"),
    ("spec.publicUrl", MISSING, "spec.publicUrl", "is required"),
    ("spec.publicUrl", "http://sms.example.com", "spec.publicUrl", "https://"),
    ("spec.publicUrl", "https://localhost", "spec.publicUrl", "can reach"),
    ("spec.publicUrl", "https://10.0.0.1", "spec.publicUrl", "can reach"),
    ("spec.publicUrl", "https://host", "spec.publicUrl", "can reach"),
    ("spec.publicUrl", "https://smsbridge.crm.svc", "spec.publicUrl", "can reach"),
    ("spec.publicUrl", "https://a:b@sms.example.com", "spec.publicUrl", "more than scheme"),
    ("spec.publicUrl", "https://sms.example.com/?x=1", "spec.publicUrl", "more than scheme"),
    ("spec.publicUrl", "sms.example.com", "spec.publicUrl", "is no URL"),
    ("spec.publicUrl", "https://sms.example.com:port", "spec.publicUrl", "is no URL"),
    ("spec.portal.domain", "https://example.bitrix24.ru", "spec.portal.domain", "without https://"),
    ("spec.portal.domain", "localhost", "spec.portal.domain", "public host name"),
    ("spec.portal.domain", MISSING, "spec.portal.domain", "is required"),
    ("spec.portal.appSecretRef", MISSING, "spec.portal.appSecretRef", "is required"),
    ("spec.portal.appSecretRef", "app", "spec.portal.appSecretRef", "must be a map"),
    ("spec.portal.appSecretRef.name", "ap", "spec.portal.appSecretRef", "did you mean app?"),
    ("spec.portal.endpoint", "https://x.ru/rest/", "spec.portal.endpoint", "spec.sandbox: true"),
    ("spec.portal.oauthEndpoint", "https://x.ru", "spec.portal.oauthEndpoint", "spec.sandbox: true"),
    ("spec.smsc.baseUrl", "https://x.ru", "spec.smsc.baseUrl", "spec.sandbox: true"),
    ("spec.smsc.accountSecretRef.name", "none", "spec.smsc.accountSecretRef", "there is no Secret none"),
    ("spec.smsc.api", "soap", "spec.smsc.api", "'guide', 'http'"),
    ("spec.smsc.prices.sms", 4.1, "spec.smsc.prices.sms", "in quotes"),
    ("spec.smsc.prices.sms", "-1", "spec.smsc.prices.sms", "no amount of roubles"),
    ("spec.smsc.prices.sms", "NaN", "spec.smsc.prices.sms", "no amount of roubles"),
    ("spec.routing.channel", "email", "spec.routing.channel", "'sms', 'viber', 'cascade'"),
    ("spec.routing.order", ["sms", "viber"], "spec.routing.order", "smsc.api: http"),
    ("spec.routing.order", ["sms"], "spec.routing.order", "once each"),
    ("spec.routing.order", ["viber", "viber"], "spec.routing.order", "once each"),
    ("spec.routing.viberTimeout", "59s", "spec.routing.viberTimeout", "60s to 24h".replace("60s", "1m")),
    ("spec.routing.viberTimeout", "25h", "spec.routing.viberTimeout", "is 25h"),
    ("spec.routing.viberTimeout", "61500ms", "spec.routing.viberTimeout", "whole seconds"),
    ("spec.routing.viberTimeout", 3600, "spec.routing.viberTimeout", "number with its unit"),
    ("spec.routing.viberTimeout", "1 h", "spec.routing.viberTimeout", "number with its unit"),
    ("spec.routing.viberTimeout", "-1h", "spec.routing.viberTimeout", "number with its unit"),
    ("spec.routing.viberStopsOn", "sent", "spec.routing.viberStopsOn", "'delivered', 'read'"),
    ("spec.routing.learnPreferredChannel", "perhaps", "spec.routing.learnPreferredChannel", "true or false"),
    ("spec.batching.maxNumbers", 0, "spec.batching.maxNumbers", "at least 1"),
    ("spec.batching.maxNumbers", 101, "spec.batching.maxNumbers", "at most 100"),
    ("spec.batching.maxNumbers", "100", "spec.batching.maxNumbers", "whole number"),
    ("spec.batching.linger", "61s", "spec.batching.linger", "0s to 1m"),
    ("spec.batching.interactiveLinger", "6s", "spec.batching.interactiveLinger", "0s to 5s"),
    ("spec.validity.interactive", "59s", "spec.validity.interactive", "1m to 72h"),
    ("spec.validity.bulk", "73h", "spec.validity.bulk", "1m to 72h"),
    ("spec.hlr.beforeSend", "sometimes", "spec.hlr.beforeSend", "'never', 'cached', 'always'"),
    ("spec.hlr.skipUnavailable", True, "spec.hlr.skipUnavailable", "cached or always"),
    (
        "spec.crm.fields.region",
        "UF_CRM_OPERATOR",
        "spec.crm.fields.region",
        "the same field as crm.fields.operator",
    ),
    ("spec.crm.fields.checkedAt", "UF_CRM_SMS_REACH", "spec.crm.fields.checkedAt", "crm.fields.reachability"),
    ("spec.hlr.cacheTtl.active", "0s", "spec.hlr.cacheTtl.active", "1m to 8760h"),
    ("spec.hlr.dailyBudget", "lots", "spec.hlr.dailyBudget", "no amount of roubles"),
    ("spec.crm.enrichLeads", "yes", "spec.crm.enrichLeads", "'never', 'calls', 'all'"),
    ("spec.crm.fields.operator", "OPERATOR", "spec.crm.fields.operator", "UF_CRM_"),
    ("spec.crm.fields.region", "UF_CRM_region", "spec.crm.fields.region", "capital letters"),
    ("spec.crm.fields.channel", "UF_CRM_" + "X" * 44, "spec.crm.fields.channel", "50 characters"),
    ("spec.deletionPolicy", "Delete", "spec.deletionPolicy", "'Unregister', 'Retain'"),
    ("spec.paused", "maybe", "spec.paused", "true or false"),
    ("spec.channel", "sms", "spec.channel", "is not known"),
    ("spec.publicURL", "https://x.ru", "spec.publicURL", "did you mean publicUrl?"),
    ("spec.routing.viberTimout", "1h", "spec.routing.viberTimout", "did you mean viberTimeout?"),
    ("spec.smsc.account_secret_ref", {}, "spec.smsc.account_secret_ref", "did you mean accountSecretRef?"),
    ("spec.crm.fields.operatr", "UF_CRM_X", "spec.crm.fields.operatr", "did you mean operator?"),
    ("specs", {}, "specs", "did you mean spec?"),
    ("spec", MISSING, "spec", "is required"),
    ("spec", "text", "spec", "is required"),
    ("metadata.uid", "a b", "metadata.uid", "letters, digits"),
    ("metadata.name", "Bad_Name", "metadata.name", "lower-case"),
    ("metadata.namespace", "a/b", "metadata.namespace", "lower-case"),
    ("metadata", MISSING, "metadata", "is required"),
    ("kind", "SmscProviders", "kind", "must be SmscProvider or Secret"),
    ("apiVersion", "v1", "apiVersion", "smsbridge.dev/v1alpha1"),
]


@pytest.mark.parametrize(("path", "value", "field", "mending"), BAD_FIELDS)
def test_a_bad_field_is_named_with_its_mending(path: str, value: object, field: str, mending: str) -> None:
    found = errors_of(path, value)

    assert [name for name, _ in found] == [field]
    assert mending in found[0][1]


BAD_RULES: list[tuple[object, str, str]] = [
    ({"name": "a", "channel": "sms"}, "spec.routing.rules.0.when", "is required"),
    ({"name": "a", "when": {}, "channel": "sms"}, "spec.routing.rules.0.when", "no condition"),
    ({"name": "a", "when": {"origin": []}, "channel": "sms"}, "spec.routing.rules.0.when", "no condition"),
    (
        {"name": "a", "when": {"origin": "robots"}, "channel": "sms"},
        "spec.routing.rules.0.when.origin.0",
        "'robot'",
    ),
    (
        {"name": "a", "when": {"origin": "manual"}, "channel": "sms"},
        "spec.routing.rules.0.when.origin.0",
        "'card'",
    ),
    (
        {"name": "a", "when": {"textMatches": "(код"}, "channel": "sms"},
        "spec.routing.rules.0.when.textMatches",
        "no regular expression",
    ),
    (
        {"name": "a", "when": {"textMatches": "x" * 501}, "channel": "sms"},
        "spec.routing.rules.0.when.textMatches",
        "500",
    ),
    (
        {"name": "a", "when": {"phonePrefix": "7 999"}, "channel": "sms"},
        "spec.routing.rules.0.when.phonePrefix",
        "first digits",
    ),
    (
        {"name": "a", "when": {"phone": "7999"}, "channel": "sms"},
        "spec.routing.rules.0.when.phone",
        "did you mean phonePrefix?",
    ),
    ({"name": "a", "when": {"origin": "card"}}, "spec.routing.rules.0.channel", "is required"),
    (
        {"name": "", "when": {"origin": "card"}, "channel": "sms"},
        "spec.routing.rules.0.name",
        "must not be empty",
    ),
]


@pytest.mark.parametrize(("rule", "field", "mending"), BAD_RULES)
def test_a_bad_rule_is_named_with_its_mending(rule: object, field: str, mending: str) -> None:
    found = errors_of("spec.routing.rules", [rule])

    assert [name for name, _ in found] == [field]
    assert mending in found[0][1]


def test_two_rules_of_one_name_are_refused() -> None:
    rule = {"name": "a", "when": {"origin": "card"}, "channel": "sms"}

    ((field, sentence),) = errors_of("spec.routing.rules", [rule, rule])

    assert field == "spec.routing.rules.1.name"
    assert "give each its own" in sentence


def test_several_errors_come_together() -> None:
    document = changed(changed(PROVIDER, "spec.code", "a b"), "spec.batching.maxNumbers", 500)

    found = read(document, APP, ACCOUNT).errors

    assert {error.field for error in found} == {"spec.code", "spec.batching.maxNumbers"}


BAD_SECRETS: list[tuple[dict[str, Any], str, str]] = [
    ({"clientSecret": "x"}, "spec.portal.appSecretRef", "has no clientId"),
    ({"clientId": "x"}, "spec.portal.appSecretRef", "has no clientSecret"),
    (
        {"client_id": "x", "clientSecret": "x"},
        "spec.portal.appSecretRef",
        "there is client_id: write it clientId",
    ),
]


@pytest.mark.parametrize(("data", "field", "mending"), BAD_SECRETS)
def test_a_key_missing_in_the_applications_secret_is_named(
    data: dict[str, str], field: str, mending: str
) -> None:
    (error,) = read(PROVIDER, changed(APP, "stringData", data), ACCOUNT).errors

    assert (error.label, error.field) == ("crm/smsc", field)
    assert mending in error.sentence


@pytest.mark.parametrize(
    ("data", "mending"),
    [
        ({}, "neither login and password nor apiKey"),
        ({"login": "x"}, "has a login but no password"),
        ({"password": "x"}, "neither login and password nor apiKey"),
        ({"api-key": "x"}, "there is api-key: write it apiKey"),
        ({"login": "x", "password": "x", "apiKey": "x"}, "keep one of the two"),
    ],
)
def test_a_key_missing_in_the_accounts_secret_is_named(data: dict[str, str], mending: str) -> None:
    account = changed(changed(ACCOUNT, "data", MISSING), "stringData", data)

    (error,) = read(PROVIDER, APP, account).errors

    assert error.field == "spec.smsc.accountSecretRef"
    assert mending in error.sentence


def test_an_api_key_is_enough() -> None:
    account = changed(changed(ACCOUNT, "data", MISSING), "stringData", {"apiKey": "k", "callbackSecret": "c"})

    (one,) = read(PROVIDER, APP, account).declared

    assert (one.provider.account.api_key, one.provider.account.login) == ("k", "")
    assert one.provider.account.callback_secret == "c"


def test_secrets_never_show_in_errors_or_repr() -> None:
    broken = changed(ACCOUNT, "data.password", "%%%not-base64-password%%%")
    result = read(changed(PROVIDER, "spec.code", "a b"), APP, broken)

    shown = " ".join(str(error) for error in result.errors)
    assert "not-base64-password" not in shown
    assert "data.password" in shown
    assert "app-secret-value" not in repr(declared())
    assert "password-value" not in repr(declared())


def test_a_secret_of_another_namespace_is_none() -> None:
    (error,) = read(PROVIDER, APP, changed(ACCOUNT, "metadata.namespace", "other")).errors

    assert "there is no Secret account in namespace crm" in error.sentence


def test_one_bad_resource_does_not_stop_the_others() -> None:
    bad = changed(changed(PROVIDER, "metadata.name", "bad"), "spec.code", "a b")

    result = read(bad, PROVIDER, APP, ACCOUNT)

    assert [item.label for item in result.declared] == ["crm/smsc"]
    assert [error.label for error in result.errors] == ["crm/bad"]
    assert result.labels == {"crm/smsc", "crm/bad"}
    assert result.complete


def test_a_provider_given_twice_counts_once() -> None:
    result = read(PROVIDER, PROVIDER, APP, ACCOUNT)

    assert [item.label for item in result.declared] == ["crm/smsc"]
    assert [(error.label, error.sentence) for error in result.errors] == [
        ("crm/smsc", "is there twice; keep one")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: 1\na: 2\n",
        "- just\n- a list\n",
        "text",
        "\x00",
        "kind: [a]",
        "&a [*a]",
        "!!python/object/apply:os.system [true]",
        "kind: SmscProvider\napiVersion: smsbridge.dev/v1alpha1\n",
    ],
)
def test_what_cannot_be_named_removes_nothing(text: str) -> None:
    result = manifests.read(text)

    assert result.declared == ()
    assert result.errors
    assert not result.complete


def test_bytes_that_are_no_text_are_an_error() -> None:
    assert not manifests.read(b"\xff\xfe\x00a: 1\xff").complete


def test_an_empty_file_is_complete_and_declares_nothing() -> None:
    assert manifests.read("# nothing yet\n---\n") == manifests.Manifests()


def test_a_resource_as_kubectl_prints_it_is_taken() -> None:
    document = changed(PROVIDER, "status", {"conditions": []})
    document = changed(document, "metadata.labels", {"team": "crm"})

    assert read(document, APP, ACCOUNT).errors == ()
