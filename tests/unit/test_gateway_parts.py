"""Keys, tokens, the frame's page and written-down events, without a server."""

import dataclasses
from decimal import Decimal

import pytest

from smsbridge.core import errors
from smsbridge.core.installation import Installation
from smsbridge.core.message import TokenCheck
from smsbridge.core.provider import AccountSettings, PortalSettings, Provider
from smsbridge.gateway import callbacks, install, page
from smsbridge.gateway.authenticate import DoorKeys, Side, TokenBook
from smsbridge.gateway.install import PortalEvent, What
from smsbridge.store.keyring import Keyring

OLD, NEW = b"o" * 32, b"n" * 32
PROVIDER = Provider(
    uid="uid-1",
    namespace="crm",
    name="smsc",
    code="smsc",
    public_url="https://sms.example.com",
    portal=PortalSettings(domain="example.bitrix24.ru", client_id="local.1", client_secret="s"),
    account=AccountSettings(login="acme"),
)


def test_urls_made_with_an_older_key_still_open_the_door() -> None:
    keys = DoorKeys(Keyring([NEW, OLD]))
    keys.rebuild([PROVIDER])
    for master in (OLD, NEW):
        key = Keyring([master]).url_key("bitrix24", "uid-1")
        for _ in range(2):  # the second time from memory
            assert keys.find(Side.BITRIX24, "crm/smsc", key) is PROVIDER
        assert keys.find(Side.SMSC, "crm/smsc", key) is None
        assert keys.find(Side.BITRIX24, "crm/other", key) is None
    assert keys.find(Side.BITRIX24, "crm/smsc", "ключ\ud800") is None


def test_changed_settings_are_seen_by_the_same_key() -> None:
    keyring = Keyring([NEW])
    keys = DoorKeys(keyring)
    keys.rebuild([PROVIDER])
    key = keyring.url_key("smsc", "uid-1")
    assert keys.find(Side.SMSC, "crm/smsc", key) is PROVIDER
    changed = dataclasses.replace(PROVIDER, paused=True)
    keys.rebuild([changed])
    assert keys.find(Side.SMSC, "crm/smsc", key) is changed
    keys.rebuild([])
    assert keys.find(Side.SMSC, "crm/smsc", key) is None


class Installed:
    def __init__(self, *found: Installation) -> None:
        self._found = found

    def for_provider(self, provider: Provider) -> Installation | None:
        return self._found[0] if self._found else None


INSTALLATION = Installation(
    client_id="local.1",
    member_id="m",
    domain="d",
    application_token="now",
    previous_application_token="before",
)


@pytest.mark.parametrize(
    ("token", "check"),
    [
        (None, TokenCheck.ABSENT),
        ("", TokenCheck.ABSENT),
        ("now", TokenCheck.MATCH),
        ("before", TokenCheck.MATCH),
        ("secret's", TokenCheck.MISMATCH),
        ("токен\ud800", TokenCheck.MISMATCH),
    ],
)
def test_tokens_of_an_installation(token: str | None, check: TokenCheck) -> None:
    book = TokenBook(Keyring([NEW]))
    book.rebuild([PROVIDER], Installed(INSTALLATION))
    found, digest = book.check("uid-1", token)
    assert found is check
    assert bool(digest) == (check is TokenCheck.MISMATCH)


def test_before_the_installation_the_secrets_token_counts() -> None:
    book = TokenBook(Keyring([NEW]))
    portal = dataclasses.replace(PROVIDER.portal, application_token="secret's")
    book.rebuild([dataclasses.replace(PROVIDER, portal=portal)], Installed())
    assert book.check("uid-1", "secret's")[0] is TokenCheck.MATCH
    assert book.check("uid-1", "now")[0] is TokenCheck.MISMATCH
    assert book.check("uid-2", "secret's")[0] is TokenCheck.MISMATCH


@pytest.mark.parametrize(
    ("portal_url", "sandbox", "origin"),
    [
        ("https://new.bitrix24.ru/rest/", False, "https://new.bitrix24.ru"),
        ("https://box.example.com:8443/rest/", False, "https://box.example.com:8443"),
        ("", False, "https://example.bitrix24.ru"),
        ("http://127.0.0.1:8090/portal/x/rest/", True, "http://127.0.0.1:8090"),
        ("http://127.0.0.1:8090/portal/x/rest/", False, "https://example.bitrix24.ru"),
        ("https://a;script-src *", False, "https://example.bitrix24.ru"),
        ("https://a@b/", False, "https://example.bitrix24.ru"),
        ("javascript:alert(1)", True, "https://example.bitrix24.ru"),
    ],
)
def test_who_may_frame_the_page(portal_url: str, sandbox: bool, origin: str) -> None:
    assert page.portal_origin(portal_url, dataclasses.replace(PROVIDER, sandbox=sandbox)) == origin


@pytest.mark.parametrize("shown", page.Shown)
@pytest.mark.parametrize("language", ["ru", "en", "de", "<script>"])
def test_every_page_has_a_sentence(shown: page.Shown, language: str) -> None:
    made = page.render(shown, origin="https://example.bitrix24.ru", language=language, finish=False)
    assert made.body.startswith("<!doctype html>")
    assert "<script>" not in made.body
    assert made.body.count("<p>") == 1
    assert "frame-ancestors 'self' https://example.bitrix24.ru;" in made.policy


EVENT = PortalEvent(
    what=What.INSTALL,
    provider_uid="uid-1",
    member_id="m",
    at=1,
    expires_at=2,
    domain="d",
    server_endpoint="https://oauth.bitrix.info/rest/",
    access_token="a",
    refresh_token="r",
    application_token="t",
)


def test_an_event_survives_being_written_down() -> None:
    assert install.decode(install.encode(EVENT)) == EVENT
    for secret in ("'a'", "'r'", "'t'"):
        assert secret not in repr(EVENT)


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"{}", b'{"what": "other"}', b'{"what": "install"}', b"\xff"]
)
def test_what_is_no_event_is_named_so(payload: bytes) -> None:
    with pytest.raises(errors.InputError):
        install.decode(payload)


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (None, ""),
        (Decimal("2.40"), "2.40"),
        (Decimal("0"), "0"),
        (Decimal("1e2"), "100"),
        (Decimal("1e999999"), ""),
        (Decimal("1e-999999"), ""),
        (Decimal("0." + "1" * 50), ""),
    ],
)
def test_prices_are_plain_text(cost: Decimal | None, text: str) -> None:
    assert callbacks.money(cost) == text
