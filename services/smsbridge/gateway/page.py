"""The application's page in the portal's frame: says whether the installation worked, and ends it.

Frames are allowed from the confirmed portal alone; no X-Frame-Options, which would leave the page blank.
Nothing of what was posted is shown: the page holds fixed sentences only.
"""

import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from urllib.parse import urlsplit

from smsbridge.core.provider import Provider

_API = "https://api.bitrix24.com"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.\-]*[A-Za-z0-9])?(:[0-9]{1,5})?\Z")


class Shown(StrEnum):
    INSTALLED = "installed"
    WAITING = "waiting"
    NOT_ADMINISTRATOR = "not_administrator"
    NOT_CONFIRMED = "not_confirmed"


_SENTENCES = {
    "ru": {
        Shown.INSTALLED: "Приложение установлено. SMS-провайдер появится в CRM в течение минуты.",
        Shown.WAITING: "Установка принята и проверяется. Откройте эту страницу ещё раз через минуту.",
        Shown.NOT_ADMINISTRATOR: "Установить приложение может только администратор портала.",
        Shown.NOT_CONFIRMED: "Bitrix24 не подтвердил установку. Переустановите приложение.",
    },
    "en": {
        Shown.INSTALLED: "The application is installed. The SMS provider appears in the CRM within a minute.",
        Shown.WAITING: "The installation is being checked. Open this page again in a minute.",
        Shown.NOT_ADMINISTRATOR: "Only an administrator of the portal can install the application.",
        Shown.NOT_CONFIRMED: "Bitrix24 did not confirm the installation. Install the application again.",
    },
}

_TEMPLATE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<title>smsbridge</title>
<style nonce="{nonce}">body {{ font: 16px/1.5 sans-serif; margin: 2em; }}</style>
<script src="{api}/api/v1/"></script>
</head>
<body>
<p>{sentence}</p>
<script nonce="{nonce}">
BX24.init(function () {{
{script}
}});
</script>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Page:
    body: str
    policy: str  # Content-Security-Policy


def render(shown: Shown, *, origin: str, language: str, finish: bool) -> Page:
    """`origin`: see `portal_origin`. `finish`: the page tells the portal that the installation is over."""
    nonce = secrets.token_urlsafe(16)
    language = language if language in _SENTENCES else "en"
    body = _TEMPLATE.format(
        language=language,
        nonce=nonce,
        api=_API,
        sentence=escape(_SENTENCES[language][shown]),
        script="BX24.installFinish();" if finish else "BX24.fitWindow();",
    )
    policy = (
        f"default-src 'none'; script-src {_API} 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        f"connect-src {origin} {_API}; frame-ancestors 'self' {origin}; base-uri 'none'; form-action 'none'"
    )
    return Page(body, policy)


def portal_origin(portal_url: str, provider: Provider) -> str:
    """Scheme and host of the confirmed portal; before that, of the portal in the provider's settings."""
    parts = urlsplit(portal_url or provider.portal.endpoint)
    schemes = ("https", "http") if provider.sandbox else ("https",)
    if parts.scheme in schemes and _HOST.match(parts.netloc):
        return f"{parts.scheme}://{parts.netloc}"
    return f"https://{provider.portal.domain}"
