"""What a token may do in its portal, and the proof that a pair handed to us is worth keeping.

Storing it, and taking it over from an event or a frame, is done elsewhere.
"""

import hmac
from dataclasses import dataclass, field

from smsbridge.bitrix24 import answers, batch, client, errors, inbound, limiter, oauth


async def is_admin(api: client.PortalApi) -> bool:
    """Whether the token's user is an administrator: only his token may update every message's status."""
    answer = await api.call("user.admin", priority=limiter.Priority.TOKENS)
    return answer.result is True


async def scopes(api: client.PortalApi) -> frozenset[str]:
    """The application's scopes, as the portal granted them."""
    answer = await api.call("scope", priority=limiter.Priority.TOKENS)
    if isinstance(answer.result, str):
        return inbound.split_scope(answer.result)
    return frozenset(answers.text_of(scope) for scope in answers.as_list(answer.result))


async def is_installed(api: client.PortalApi) -> bool:
    """False until an application with pages has called installFinish; no events come till then."""
    answer = await api.call("app.info", priority=limiter.Priority.TOKENS)
    installed = answers.as_map(answer.result).get("INSTALLED")
    return installed is True or answers.text_of(installed).lower() in {"1", "y", "true"}


@dataclass(frozen=True, slots=True)
class Binding:
    """An event that the portal posts to `handler`. Two handlers of one event are two bindings."""

    event: str
    handler: str = field(repr=False)


def bindings_command() -> batch.Command:
    return batch.Command("event.get")


def read_bindings(listed: object) -> list[Binding]:
    """The result of `bindings_command`: those of this application, events in capitals."""
    entries = (answers.as_map(item) for item in answers.as_list(listed))
    return [
        Binding(answers.text_of(entry.get("event")).upper(), answers.text_of(entry.get("handler")))
        for entry in entries
    ]


def bind_command(binding: Binding) -> batch.Command:
    """Bitrix24 may bind a second time what is bound: look first."""
    return batch.Command("event.bind", {"event": binding.event, "handler": binding.handler})


def unbind_command(binding: Binding) -> batch.Command:
    """Without a word where it is not bound."""
    return batch.Command("event.unbind", {"event": binding.event, "handler": binding.handler})


def was_bound(error: errors.PortalError) -> bool:
    """Whether an answer to `bind_command` says that there is nothing to do."""
    return error.rest_code.lower() == "error_event_binding_exists"


def check_owner(info: oauth.AppInfo, *, client_id: str, member_id: str = "") -> None:
    """Raises PortalRefused unless the OAuth host's word names our application and the expected portal.
    Not InstallationBroken: anybody may post a pair, and a false one breaks nothing.

    An empty `member_id` accepts any portal: the first installation of an application whose Secret names none.
    """
    if not info.client_id or not hmac.compare_digest(info.client_id.encode(), client_id.encode()):
        raise errors.PortalRefused("the token belongs to another application; check clientId in the Secret")
    if not info.member_id or (
        member_id and not hmac.compare_digest(info.member_id.encode(), member_id.encode())
    ):
        raise errors.PortalRefused("the token belongs to another portal; install the application in this one")
