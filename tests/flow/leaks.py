"""What passed through a stack, looked for where it must not stand: in logs, what commands print, and metrics.

The sandbox knows what was sent, to whom, and with which secrets; a stack adds its own keys and passwords.
A finding says what kind of thing it is and where, and not the thing itself.
"""

import base64
import binascii
import contextlib
import hashlib
import json
import re
import urllib.parse
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from smsbridge.core import msisdn
from smsbridge.sandbox import portal, server
from smsbridge.store import embedded

_ENOUGH = 16  # characters of a text by which it is known, at its beginning and at its end
_LEAST = 5  # a shorter one may stand anywhere
_URL_KEY = re.compile(r"/(?:bitrix24|smsc)/[^/\s]+/[^/\s]+/([a-z2-7]{32})/")
# As people and programs write numbers, with whatever before and behind.
_NUMBER = re.compile(r"\d(?:[ ().\-\u00a0\u202f\u2010-\u2015]{0,2}\d){9,}")
_RUSSIAN = re.compile(r"(?<!\d)7\d{10}(?!\d)")


class Passed:
    def __init__(self) -> None:
        self._words: defaultdict[str, set[str]] = defaultdict(set)
        self._phones: set[str] = set()

    def add(self, kind: str, words: Iterable[str]) -> None:
        """Secrets, each in every form that a program may write it in."""
        for word in words:
            if len(word) >= _LEAST:
                self._words[kind] |= _forms(word)

    def add_texts(self, texts: Iterable[str]) -> None:
        """`{n}` stands for what differs from message to message."""
        for text in set(texts):
            part = max(text.split("{n}"), key=len).strip()
            self.add("text", {part[:_ENOUGH], part[-_ENOUGH:]})

    def add_phones(self, phones: Iterable[str]) -> None:
        self._phones |= {digits for phone in phones if len(digits := msisdn.digits_only(phone)) >= 10}

    def add_data(self, data: Path) -> None:
        """The keys of a `run all` in its directory."""
        key = data / "master.key"
        if key.exists():
            self.add_master_keys(key.read_text(encoding="ascii").split())
        self.add("store password", [embedded.read_password(data)])

    def add_master_keys(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.add("master key", [key])
            with contextlib.suppress(binascii.Error):
                self.add("master key", [base64.b64decode(key).hex()])

    def add_urls(self, urls: Iterable[str]) -> None:
        self.add("URL key", [key for url in urls for key in _URL_KEY.findall(url)])

    def kinds(self) -> set[str]:
        return {*self._words, *(["phone"] if self._phones else [])}

    def found(self, text: str) -> set[str]:
        """Kinds of what stands in this text."""
        found = {kind for kind, words in self._words.items() if any(word in text for word in words)}
        if self._holds_phone(text):
            found.add("phone")
        return found

    def found_in_log(self, text: str) -> set[str]:
        """Here also a phone that nobody knows of."""
        return self.found(text) | ({"phone"} if _RUSSIAN.search(text) else set())

    def found_in_logs(self, directory: Path, *, but: frozenset[str] = frozenset()) -> list[str]:
        """In every file `*.log` below, but those with these names."""
        return [
            f"{kind} in {path.relative_to(directory)}"
            for path in sorted(directory.rglob("*.log"))
            if path.name not in but
            for kind in sorted(self.found_in_log(path.read_text(encoding="utf-8", errors="replace")))
        ]

    def _holds_phone(self, text: str) -> bool:
        numbers = {msisdn.digits_only(found) for found in _NUMBER.findall(text)}
        national = {phone[1:] for phone in self._phones}
        lengths = {len(phone) for phone in self._phones}
        return any(
            number in national
            or (len(number) == 11 and number[1:] in national)
            or any(
                number[at : at + length] in self._phones
                for length in lengths
                for at in range(len(number) - length + 1)
            )
            for number in numbers
        )


def of_sandbox(sandbox: server.Sandbox) -> Passed:
    """Everything that its portals and accounts have seen."""
    passed = Passed()
    for kind, tokens in sandbox.portals.tokens.issued().items():
        passed.add(kind, tokens)
    for found in sandbox.portals.by_domain.values():
        _add_portal(passed, found)
    for account in sandbox.smsc.accounts.values():
        settings = account.settings
        digest = hashlib.md5(settings.password.encode(), usedforsecurity=False).hexdigest()
        passed.add("password", [settings.password, digest] if settings.password else [])
        passed.add("API key", [settings.api_key])
        passed.add("callback secret", [settings.callback.secret])
        passed.add_urls([settings.callback.url])
        passed.add_texts(message.body for message in account.messages)
        passed.add_phones(message.phone for message in account.messages)
        passed.add_phones(account.totals.look_ups)
    return passed


def _add_portal(passed: Passed, found: portal.Portal) -> None:
    for application in found.applications.values():
        passed.add("client secret", [application.settings.client_secret])
        passed.add("application token", [application.application_token])
        passed.add_urls([application.install_url])
        passed.add_urls(sender.handler for sender in application.senders.values())
    passed.add("step's token", found.steps)
    passed.add_texts(row.text for row in found.rows.values())
    passed.add_phones(row.phone for row in found.rows.values())
    for entities in found.crm.entities.values():
        passed.add_phones(phone.value for entity in entities.values() for phone in entity.phones)


def _forms(word: str) -> set[str]:
    return {
        word,
        json.dumps(word)[1:-1],
        json.dumps(json.dumps(word)[1:-1])[1:-1],
        ascii(word)[1:-1],
        urllib.parse.quote(word, safe=""),
        urllib.parse.quote_plus(word),
    }
