"""What a portal's queue server posts: forms byte for byte as PHP would write them, each posted once.

Only HTTP status and time of the answer are looked at, as the queue workers do.
"""

import time
from collections.abc import Callable, Sequence

import aiohttp
import yarl

from smsbridge.core import errors
from smsbridge.sandbox import php
from smsbridge.sandbox.orders import MessageOrigin
from smsbridge.sandbox.portal import Application, Portal
from smsbridge.sandbox.portal_app import Portals
from smsbridge.sandbox.tokens import Grant, Pair

Pairs = list[tuple[str, str]]
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_CONTEXT: dict[MessageOrigin, Pairs] = {
    MessageOrigin.CARD: [
        ("module_id", "crm"),
        ("bindings[0][OWNER_TYPE_ID]", "2"),
        ("bindings[0][OWNER_ID]", "451"),
        ("bindings[1][OWNER_TYPE_ID]", "3"),
        ("bindings[1][OWNER_ID]", "123"),
    ],
    MessageOrigin.ROBOT: [
        ("module_id", "bizproc"),
        ("workflow_id", "5a0d6f3c9b1e72.12345678"),
        ("document_id[0]", "crm"),
        ("document_id[1]", "CCrmDocumentLead"),
        ("document_id[2]", "LEAD_98"),
        ("document_type[0]", "crm"),
        ("document_type[1]", "CCrmDocumentLead"),
        ("document_type[2]", "LEAD"),
    ],
    MessageOrigin.MARKETING: [("module_id", "sender")],
    MessageOrigin.DEFAULT_ROBOT: [],
    MessageOrigin.OTP: [],
}
DIRECT = frozenset({MessageOrigin.MARKETING})  # the row is inserted after the hand-over
_PHONE_KEY = php.encode("properties[phone_number]")
_TEXT_KEY = php.encode("properties[message_text]")


def author(origin: MessageOrigin, ordered: int | None) -> int:
    """AUTHOR_ID: 0 means none, and then nothing of `auth` is sent."""
    if ordered is not None:
        return ordered
    return {MessageOrigin.OTP: 0, MessageOrigin.MARKETING: 1}.get(origin, 7)


def auth_pairs(
    portals: Portals,
    portal: Portal,
    application: Application,
    *,
    user_id: int,
    pair: Pair | None,
    now: float,
) -> Pairs:
    """`auth[...]` in the order of the documented samples; without a token pair only what names the portal."""
    fields: Pairs = []
    settings = application.settings
    if pair is not None:
        fields += [
            ("access_token", pair.access_token),
            ("expires", str(pair.expires_at)),
            ("expires_in", str(max(0, pair.expires_at - int(now)))),
            ("scope", ",".join(settings.scope)),
        ]
    fields += [("domain", portal.domain), ("server_endpoint", portals.server_endpoint)]
    if pair is not None:
        fields.append(("status", settings.status))
    fields += [("client_endpoint", portals.endpoint(portal.domain)), ("member_id", portal.member_id)]
    if pair is not None:
        fields.append(("user_id", str(user_id)))
    fields.append(("application_token", application.application_token))
    if pair is not None and pair.refresh_token:
        fields.append(("refresh_token", pair.refresh_token))
    return [(f"auth[{name}]", value) for name, value in fields]


def message_form(origin: MessageOrigin, *, code: str, auth: Pairs) -> Callable[[str, str, str, int], bytes]:
    """Writes forms that differ in message_id, encoded phone, encoded text and time; the rest is made once."""
    head = php.build_query(_CONTEXT[origin])
    head = head + "&" if head else ""
    tail = "&" + php.build_query(auth) if auth else ""
    encoded_code = php.encode(code)

    def write(message_id: str, phone: str, text: str, ts: int) -> bytes:
        return (
            f"{head}{_PHONE_KEY}={phone}&{_TEXT_KEY}={text}&type=SMS&code={encoded_code}"
            f"&message_id={message_id}&message_to={phone}&message_body={text}&ts={ts}{tail}"
        ).encode()

    return write


class Poster:
    """Posts forms over kept connections. One for the whole sandbox."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self, url: str, body: bytes, *, timeout_seconds: float, keep_body: bool = False
    ) -> tuple[str, float, str]:
        """HTTP status or a word for its absence, elapsed milliseconds, and the body where it is wanted."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        started = time.perf_counter()
        content = b""
        try:
            async with self._session.post(
                yarl.URL(url, encoded=True),
                data=body,
                headers=_FORM,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_seconds),
            ) as response:
                content = await response.read()
                status = str(response.status)
        except TimeoutError:
            status = "timeout"
        except aiohttp.ClientConnectorError:
            status = "refused"
        except (aiohttp.ClientError, OSError, ValueError):
            status = "broken"
        elapsed_ms = (time.perf_counter() - started) * 1000
        return status, elapsed_ms, content.decode("utf-8", "replace") if keep_body else ""

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def pick_application(portal: Portal, client_id: str) -> Application:
    """By its id; without one the portal must have exactly one."""
    if client_id:
        if client_id not in portal.applications:
            raise errors.InputError("the portal has no such application", field="client_id")
        return portal.applications[client_id]
    if len(portal.applications) != 1:
        raise errors.InputError("the portal has not exactly one application: say which", field="client_id")
    return next(iter(portal.applications.values()))


def pick_user(portal: Portal, user_id: int) -> int:
    if user_id not in portal.users:
        raise errors.InputError("the portal has no such user", field="user_id")
    return user_id


def grant(portal: Portal, application: Application, user_id: int) -> Grant:
    return Grant(application.client_id, portal.member_id, user_id)


def joined(pairs: Sequence[tuple[str, str]]) -> bytes:
    return php.build_query(pairs).encode()
