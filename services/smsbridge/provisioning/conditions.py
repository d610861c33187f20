"""What is true of a provider, as conditions: each with a reason out of a closed list and a sentence that
says what to do.

`lastTransitionTime` moves only when a status changes. No secret and no URL's key may be in a message.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any


class Type(StrEnum):
    CREDENTIALS_VALID = "CredentialsValid"
    PORTAL_AUTHORIZED = "PortalAuthorized"
    REGISTERED = "Registered"
    FIELDS_READY = "FieldsReady"
    ROBOTS_READY = "RobotsReady"
    SENDING = "Sending"
    READY = "Ready"


class Status(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """A closed list: alerts and scripts may rely on it."""

    # CredentialsValid
    ACCOUNT_ANSWERS = "AccountAnswers"
    LOGIN_REFUSED = "LoginRefused"
    ADDRESS_BLOCKED = "AddressBlocked"
    ACCOUNT_AWAY = "AccountAway"
    NOT_CHECKED = "NotChecked"
    # PortalAuthorized
    AUTHORIZED = "Authorized"
    NOT_INSTALLED = "NotInstalled"
    UNINSTALLED = "Uninstalled"
    TOKENS_DEAD = "TokensDead"
    CLIENT_REFUSED = "ClientRefused"
    NOT_ADMINISTRATOR = "NotAdministrator"
    SCOPE_MISSING = "ScopeMissing"
    PORTAL_REFUSES = "PortalRefuses"
    PORTAL_AWAY = "PortalAway"
    PORTAL_BLOCKED = "PortalBlocked"
    PORTAL_GONE = "PortalGone"
    # Registered
    REGISTERED = "Registered"
    WAITING_FOR_PORTAL = "WaitingForPortal"
    REGISTRATION_REFUSED = "RegistrationRefused"
    PUBLIC_URL_UNTRUSTED = "PublicUrlUntrusted"
    EVENTS_REFUSED = "EventsRefused"
    UNREGISTERED = "Unregistered"
    # FieldsReady
    FIELDS_PRESENT = "FieldsPresent"
    FIELDS_REFUSED = "FieldsRefused"
    FIELD_TYPE_WRONG = "FieldTypeWrong"
    NOT_MANAGED = "NotManaged"
    # RobotsReady
    ROBOTS_REGISTERED = "RobotsRegistered"
    ROBOTS_REFUSED = "RobotsRefused"
    ROBOTS_OFF = "RobotsOff"
    ROBOTS_NOT_MANAGED = "RobotsNotManaged"
    # Sending
    SENDING = "Sending"
    PAUSED = "Paused"
    ACCOUNT_PAUSED = "AccountPaused"
    SENDER_AWAY = "SenderAway"
    STORE_AWAY = "StoreAway"
    REMOVED = "Removed"
    # Ready, and the resource as a whole
    ALL_GOOD = "AllGood"
    INVALID_SPEC = "InvalidSpec"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - a word, no secret
    NOT_YET = "NotYet"


SENTENCES: dict[Reason, str] = {
    Reason.ACCOUNT_ANSWERS: "the SMSC account answers",
    Reason.LOGIN_REFUSED: "SMSC refuses the login or this address; correct the Secret of "
    "accountSecretRef, and check the account's list of allowed IP addresses",
    Reason.ADDRESS_BLOCKED: "SMSC has blocked this IP address for a while; stop other senders that use "
    "it, and wait",
    Reason.ACCOUNT_AWAY: "SMSC gives no usable answer; it is tried again, nothing needs to be done unless "
    "it lasts",
    Reason.NOT_CHECKED: "the SMSC account has not been asked yet",
    Reason.AUTHORIZED: "the portal accepts our tokens",
    Reason.NOT_INSTALLED: "the application is not installed in the portal; enter the installUrl that "
    "`smsbridge provider show` prints as the application's initial installation path, then install it as "
    "administrator",
    Reason.UNINSTALLED: "the application was uninstalled from the portal; install it again as administrator",
    Reason.TOKENS_DEAD: "no stored token works any more; open the application in the portal as "
    "administrator, or install it again",
    Reason.CLIENT_REFUSED: "Bitrix24 refuses client id or secret; correct the Secret of appSecretRef, or "
    "install the application where it is not installed any more",
    Reason.NOT_ADMINISTRATOR: "the token belongs to a user without administrator's rights; open the "
    "application in the portal as administrator",
    Reason.SCOPE_MISSING: "the application lacks the scope messageservice; add it in the application's "
    "settings, and install it again",
    Reason.PORTAL_REFUSES: "the portal refuses the application; check its plan and that the application "
    "may be used",
    Reason.PORTAL_AWAY: "the portal gives no usable answer; it is tried again, nothing needs to be done "
    "unless it lasts",
    Reason.PORTAL_BLOCKED: "Bitrix24 has blocked requests to this portal; ask its support",
    Reason.PORTAL_GONE: "the portal was deleted; remove this provider",
    Reason.REGISTERED: "the portal shows the provider",
    Reason.WAITING_FOR_PORTAL: "it is done as soon as the portal is authorized",
    Reason.REGISTRATION_REFUSED: "the portal refuses the registration; see the message, correct the spec",
    Reason.PUBLIC_URL_UNTRUSTED: "the portal shows the provider, but a public client does not trust the "
    "certificate of publicUrl, so neither Bitrix24 nor SMSC would call it; give the ingress a certificate "
    "of a public authority for this host name, with its whole chain",
    Reason.EVENTS_REFUSED: "the portal shows the provider, but refuses to tell us of its events, so an "
    "uninstall or a new lead would go unseen; see the message, and check publicUrl",
    Reason.UNREGISTERED: "it was taken out of the portal",
    Reason.FIELDS_PRESENT: "the CRM has all custom fields of spec.crm.fields",
    Reason.FIELDS_REFUSED: "the portal refuses a custom field; see the message, and let an administrator of "
    "its CRM open the application",
    Reason.FIELD_TYPE_WRONG: "a custom field of this name is of another kind; remove it in the CRM, or name "
    "another one in spec.crm.fields",
    Reason.NOT_MANAGED: "custom fields are not managed: the application lacks the scope crm; add it in the "
    "application's settings and install it again, where the CRM is to show what is known of a number",
    Reason.ROBOTS_REGISTERED: "the portal offers our robots and workflow activities",
    Reason.ROBOTS_REFUSED: "the portal refuses a robot or an activity; see the message, or set "
    "spec.crm.robots to false where none are wanted",
    Reason.ROBOTS_OFF: "spec.crm.robots is false: the portal offers none of our robots and activities",
    Reason.ROBOTS_NOT_MANAGED: "no robots are offered: the application lacks the scope bizproc; add it in "
    "the application's settings and install it again, where workflows are to send or to look numbers up",
    Reason.SENDING: "messages go out",
    Reason.PAUSED: "spec.paused keeps messages queued; set it to false to send them",
    Reason.ACCOUNT_PAUSED: "the SMSC account is paused and messages wait",
    Reason.SENDER_AWAY: "the sender does not answer the operator, so it cannot be seen whether messages go "
    "out; look at its pods",
    Reason.STORE_AWAY: "the store does not answer; what comes in is kept in the gateways' journals, and "
    "nothing is sent until it is back",
    Reason.REMOVED: "the provider was removed; what is under way is still settled",
    Reason.ALL_GOOD: "everything is in order",
    Reason.INVALID_SPEC: "the resource is not valid; correct it as the message says",
    Reason.SECRET_MISSING: "a Secret that the resource refers to, or a key in it, is missing; add what the "
    "message names",
    Reason.NOT_YET: "it was not looked at yet",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """`at` is the last transition; None in a fresh one, `merge` sets it."""

    type: Type
    status: Status
    reason: Reason
    message: str = ""
    observed_generation: int = 0
    at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "type": self.type.value,
            "status": self.status.value,
            "reason": self.reason.value,
            "message": self.message,
            "observedGeneration": self.observed_generation,
            "lastTransitionTime": self.at.isoformat(timespec="seconds") if self.at else None,
        }


def condition(type_: Type, status: Status, reason: Reason, *, detail: str = "") -> Condition:
    """With the reason's own sentence, and `detail` behind it."""
    sentence = SENTENCES[reason]
    return Condition(type_, status, reason, f"{sentence} ({detail})" if detail else sentence)


def from_json(body: Mapping[str, Any]) -> Condition:
    at = body.get("lastTransitionTime")
    return Condition(
        Type(body["type"]),
        Status(body["status"]),
        Reason(body["reason"]),
        str(body.get("message", "")),
        int(body.get("observedGeneration", 0)),
        datetime.fromisoformat(at) if at else None,
    )


def ready(found: Iterable[Condition]) -> Condition:
    """True where all others are; else it repeats the first that is not, False before Unknown."""
    others = [item for item in found if item.type is not Type.READY]
    for status in (Status.FALSE, Status.UNKNOWN):
        for item in others:
            if item.status is status:
                return Condition(Type.READY, status, item.reason, item.message)
    return condition(Type.READY, Status.TRUE, Reason.ALL_GOOD)


def merge(
    old: Iterable[Condition], new: Iterable[Condition], *, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """`new` over `old`, with Ready made from all, in the order of `Type`."""
    old = tuple(old)
    after = {item.type: item for item in old} | {
        item.type: replace(item, observed_generation=generation) for item in new
    }
    after[Type.READY] = replace(ready(after.values()), observed_generation=generation)
    return _dated(old, after, now)


def dated(
    before: Iterable[Condition], shown: Iterable[Condition], *, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """`shown` as they are, in the order of `Type`, each with the time at which its status last changed."""
    after = {item.type: replace(item, observed_generation=generation) for item in shown}
    return _dated(before, after, now)


def _dated(
    before: Iterable[Condition], after: Mapping[Type, Condition], now: datetime
) -> tuple[Condition, ...]:
    old = {item.type: item for item in before}
    return tuple(_at(old.get(type_), after[type_], now) for type_ in Type if type_ in after)


def _at(old: Condition | None, new: Condition, now: datetime) -> Condition:
    kept = old.at if old is not None and old.status is new.status else None
    return replace(new, at=kept or now)
