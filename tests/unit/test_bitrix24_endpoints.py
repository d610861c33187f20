"""Where tokens may be sent."""

import pytest

from smsbridge.bitrix24 import endpoints
from smsbridge.core import errors

OLD = "https://old.bitrix24.ru/rest/"


@pytest.mark.parametrize(
    ("url", "sandbox", "endpoint"),
    [
        ("https://example.bitrix24.ru/rest/", False, "https://example.bitrix24.ru/rest/"),
        ("https://example.bitrix24.ru/rest", False, "https://example.bitrix24.ru/rest/"),
        ("https://crm.example.com:8443/rest/", False, "https://crm.example.com:8443/rest/"),
        ("https://example.com/rest/?a=b#c", False, "https://example.com/rest/"),
        ("http://127.0.0.1:8080/portal/a.ru/rest/", True, "http://127.0.0.1:8080/portal/a.ru/rest/"),
    ],
)
def test_a_good_endpoint_ends_with_a_slash(url: str, sandbox: bool, endpoint: str) -> None:
    assert endpoints.check(url, sandbox=sandbox) == endpoint


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.bitrix24.ru/rest/",
        "http://example.bitrix24.ru/rest/",
        "ftp://example.bitrix24.ru/rest/",
        "https:///rest/",
        "https://user:password@example.com/rest/",
        "https://example.com:port/rest/",
        "https://exa mple.com/rest/",
        "https://example.com\n/rest/",
        "https://example.com\\@evil.com/",
        "https://пример.рф/rest/",
        "https://[::1/rest/",
    ],
)
def test_a_bad_endpoint_is_refused(url: str) -> None:
    with pytest.raises(errors.InputError) as refusal:
        endpoints.check(url)
    assert refusal.value.field == "client_endpoint"


@pytest.mark.parametrize(
    ("location", "endpoint"),
    [
        ("https://new.bitrix24.ru/rest/batch", "https://new.bitrix24.ru/rest/"),
        ("https://new.bitrix24.ru/rest/batch.json", "https://new.bitrix24.ru/rest/"),
        ("https://new.bitrix24.ru/rest/batch?auth=x", "https://new.bitrix24.ru/rest/"),
        ("https://new.bitrix24.ru/", "https://new.bitrix24.ru/rest/"),
        ("https://new.bitrix24.ru/elsewhere/batch", "https://new.bitrix24.ru/elsewhere/"),
        ("https://new.bitrix24.ru:8443/rest/batch", "https://new.bitrix24.ru:8443/rest/"),
        (OLD + "batch", None),
        ("http://new.bitrix24.ru/rest/batch", None),
        ("/rest/batch", None),
        ("", None),
        ("https://localhost/rest/batch", None),
        ("https://10.0.0.1/rest/batch", None),
        ("https://8.8.8.8/rest/batch", None),
        ("https://[::1]/rest/batch", None),
        ("https://user@new.bitrix24.ru/rest/batch", None),
    ],
)
def test_where_a_redirect_leads(location: str, endpoint: str | None) -> None:
    assert endpoints.moved(location, endpoint=OLD, method="batch") == endpoint


def test_the_sandbox_may_move_within_one_host() -> None:
    assert (
        endpoints.moved(
            "http://127.0.0.1:1/portal/new.ru/rest/app.info",
            endpoint="http://127.0.0.1:1/portal/old.ru/rest/",
            method="app.info",
            sandbox=True,
        )
        == "http://127.0.0.1:1/portal/new.ru/rest/"
    )


@pytest.mark.parametrize(
    ("server_endpoint", "override", "base"),
    [
        ("https://oauth.bitrix.info/rest/", "", "https://oauth.bitrix.info"),
        ("https://oauth.bitrix24.tech/rest/", "", "https://oauth.bitrix24.tech"),
        ("https://OAuth.bitrix.info/rest", "", "https://oauth.bitrix.info"),
        ("", "", "https://oauth.bitrix.info"),
        ("https://oauth.bitrix.info/rest/", "http://127.0.0.1:9/oauth/", "http://127.0.0.1:9/oauth"),
    ],
)
def test_the_oauth_host(server_endpoint: str, override: str, base: str) -> None:
    assert endpoints.oauth_base(server_endpoint, override=override) == base


@pytest.mark.parametrize(
    "server_endpoint",
    [
        "http://oauth.bitrix.info/rest/",
        "https://oauth.bitrix.info.example.com/rest/",
        "https://example.com/oauth.bitrix.info/",
        "https://oauth.bitrix.info:444/rest/",
        "https://x@oauth.bitrix.info/rest/",
        "oauth.bitrix.info",
    ],
)
def test_a_strange_oauth_host_is_refused(server_endpoint: str) -> None:
    with pytest.raises(errors.InputError) as refusal:
        endpoints.oauth_base(server_endpoint)
    assert refusal.value.field == "server_endpoint"
