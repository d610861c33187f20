"""How a number behaves: its last two digits say so, in every profile and channel.

`NUMBERS` is the table in its readable form, `life` in its exact one; tests and demos rely on both.
Codes: profile guide has 1, 2, 3, 20, 22 (and 0, -1 pending); profile http has the published ones.
"""

import functools
from dataclasses import dataclass
from enum import Enum, StrEnum

from smsbridge.sandbox.settings import Profile

NUMBERS = """\
00-79  delivered by the channel asked for
80-84  not on Viber: cascade 22 then 1; Viber alone 2 (guide) or 20 err 21 (http); SMS delivered
85     on Viber but never reads: cascade 22 at viber_timeout then 1; Viber alone 3 at the end of its validity
86     as 85, but Viber alone stays pending for ever
87     undeliverable: 2 (guide), 20 err 1 (http)
88     expired: 3
89     forbidden: 2 (guide); 23, released and delivered after the moderation (http)
90     no route: 2 (guide), 25 err 248 (http)
91     never a receipt, status.php stays at 0
92     delivered, told by status.php alone
93     refused in phones[]: status 23 error 253; the others of the request go on
94     error 7 for the whole request
95     error 8 for the whole request
96     error 6 for the whole request
97     does not exist, also for the HLR: 2 (guide), 20 err 1 (http)
98     switched off, also for the HLR: 3 (err 6 in http)
99     delivered late; callbacks twice and out of order (the older status after the newer)
"""


class Kind(StrEnum):
    """What was asked for."""

    SMS = "sms"
    VIBER = "viber"
    CASCADE = "cascade"  # profile guide: viber=1 with viber_timeout
    HLR = "hlr"


class Behaviour(StrEnum):
    DELIVERED = "delivered"
    NOT_ON_VIBER = "not_on_viber"
    VIBER_UNREAD = "viber_unread"
    VIBER_PENDING = "viber_pending"
    UNDELIVERABLE = "undeliverable"
    EXPIRED = "expired"
    FORBIDDEN = "forbidden"
    NO_ROUTE = "no_route"
    SILENT = "silent"
    NO_CALLBACK = "no_callback"
    SPAM = "spam"
    REFUSED = "refused"
    CANNOT_DELIVER = "cannot_deliver"
    DENIED = "denied"
    ABSENT = "absent"
    OFF = "off"
    DISORDERLY = "disorderly"


_BY_ENDING = (
    (Behaviour.DELIVERED,) * 80
    + (Behaviour.NOT_ON_VIBER,) * 5
    + (
        Behaviour.VIBER_UNREAD,
        Behaviour.VIBER_PENDING,
        Behaviour.UNDELIVERABLE,
        Behaviour.EXPIRED,
        Behaviour.FORBIDDEN,
        Behaviour.NO_ROUTE,
        Behaviour.SILENT,
        Behaviour.NO_CALLBACK,
        Behaviour.SPAM,
        Behaviour.REFUSED,
        Behaviour.CANNOT_DELIVER,
        Behaviour.DENIED,
        Behaviour.ABSENT,
        Behaviour.OFF,
        Behaviour.DISORDERLY,
    )
)
REQUEST_ERROR = {Behaviour.DENIED: 6, Behaviour.REFUSED: 7, Behaviour.CANNOT_DELIVER: 8}


def behaviour(phone: str) -> Behaviour:
    return _BY_ENDING[int(phone[-2:])]


class Wait(Enum):
    """What a step waits for; the account's timing and the request give it seconds."""

    NOTHING = "nothing"
    HANDOVER = "handover"
    DELIVERY = "delivery"
    READ = "read"
    VIBER_TIMEOUT = "viber_timeout"
    VALIDITY = "validity"
    MODERATION = "moderation"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Step:
    """After `wait` the record says `status`; `tell` is called back. None: unchanged, not called."""

    wait: Wait
    status: int | None
    tell: int | None
    err: int = 0


def _told(wait: Wait, status: int, err: int = 0) -> Step:
    return Step(wait, status, status, err)


_PENDING = Step(Wait.HANDOVER, 0, None)  # profile guide tells nothing of a pending message
_HANDED = _told(Wait.HANDOVER, 0)


@functools.cache
def life(number: Behaviour, profile: Profile, kind: Kind) -> tuple[Step, ...]:
    """What becomes of an accepted message, step by step. Its status is -1 before the first."""
    if number is Behaviour.SILENT:
        return (_PENDING,)
    if kind is Kind.HLR:
        return _look_up(number)
    if number is Behaviour.NO_CALLBACK:
        told = life(Behaviour.DELIVERED, profile, kind)
        return tuple(Step(step.wait, step.status, None, step.err) for step in told)
    if profile is Profile.HTTP:
        return _http(number, kind)
    return (_PENDING, *_guide_cascade(number)) if kind is Kind.CASCADE else (_PENDING, *_guide(number, kind))


def _look_up(number: Behaviour) -> tuple[Step, ...]:
    if number is Behaviour.ABSENT:
        return _HANDED, _told(Wait.DELIVERY, 20, 1)
    if number is Behaviour.OFF:
        return _HANDED, _told(Wait.DELIVERY, 20, 6)
    return _HANDED, _told(Wait.DELIVERY, 1)


_GUIDE_FINAL = {
    Behaviour.UNDELIVERABLE: 2,
    Behaviour.EXPIRED: 3,
    Behaviour.FORBIDDEN: 2,
    Behaviour.NO_ROUTE: 2,
    Behaviour.ABSENT: 2,
    Behaviour.OFF: 3,
}


def _guide(number: Behaviour, kind: Kind) -> tuple[Step, ...]:
    arrived = 20 if kind is Kind.VIBER else 1
    if number is Behaviour.DISORDERLY:
        return _told(Wait.LATE, arrived), Step(Wait.NOTHING, None, arrived)
    if kind is Kind.VIBER:
        if number is Behaviour.NOT_ON_VIBER:
            return (_told(Wait.DELIVERY, 2),)
        if number is Behaviour.VIBER_UNREAD:
            return (_told(Wait.VALIDITY, 3),)
        if number is Behaviour.VIBER_PENDING:
            return ()
    return (_told(Wait.DELIVERY, _GUIDE_FINAL.get(number, arrived)),)


def _guide_cascade(number: Behaviour) -> tuple[Step, ...]:
    if number is Behaviour.DISORDERLY:
        older, newer = Step(Wait.NOTHING, None, 22), Step(Wait.NOTHING, None, 1)
        return Step(Wait.DELIVERY, 22, None), _told(Wait.LATE, 1), older, newer, older
    if number in {Behaviour.VIBER_UNREAD, Behaviour.VIBER_PENDING}:
        return _told(Wait.VIBER_TIMEOUT, 22), _told(Wait.DELIVERY, 1)
    if number is Behaviour.NOT_ON_VIBER:
        return _told(Wait.DELIVERY, 22), _told(Wait.DELIVERY, 1)
    if number in {Behaviour.FORBIDDEN, Behaviour.NO_ROUTE}:
        return (_told(Wait.DELIVERY, 2),)
    if number in _GUIDE_FINAL:
        return _told(Wait.DELIVERY, 22), _told(Wait.DELIVERY, _GUIDE_FINAL[number])
    return (_told(Wait.DELIVERY, 20),)


_HTTP_VIBER = {
    Behaviour.NOT_ON_VIBER: (_HANDED, _told(Wait.DELIVERY, 20, 21)),
    Behaviour.VIBER_UNREAD: (_HANDED, _told(Wait.VALIDITY, 3, 6)),
    Behaviour.VIBER_PENDING: (_HANDED,),
}
_HTTP_FINAL = {
    Behaviour.UNDELIVERABLE: (20, 1),
    Behaviour.EXPIRED: (3, 6),
    Behaviour.NO_ROUTE: (25, 248),
    Behaviour.ABSENT: (20, 1),
    Behaviour.OFF: (3, 6),
}


def _http(number: Behaviour, kind: Kind) -> tuple[Step, ...]:
    arrived: tuple[Step, ...] = (_told(Wait.DELIVERY, 1),)
    if kind is Kind.VIBER:
        if number in _HTTP_VIBER:
            return _HTTP_VIBER[number]
        arrived = (_told(Wait.DELIVERY, 1), _told(Wait.READ, 2))
    if number is Behaviour.DISORDERLY:
        older, newer = Step(Wait.NOTHING, None, 0), Step(Wait.NOTHING, None, 1)
        return Step(Wait.HANDOVER, 0, None), _told(Wait.LATE, 1), older, newer, older
    if number is Behaviour.FORBIDDEN:
        return _told(Wait.HANDOVER, 23, 253), _told(Wait.MODERATION, 0), *arrived
    if number in _HTTP_FINAL:
        status, err = _HTTP_FINAL[number]
        return _HANDED, _told(Wait.DELIVERY, status, err)
    return _HANDED, *arrived


@dataclass(frozen=True, slots=True)
class Carrier:
    mcc: str
    mnc: str
    name: str
    region: str

    @property
    def mccmnc(self) -> str:
        return self.mcc + self.mnc


_CARRIERS = (
    Carrier("250", "01", "MTS", "Москва"),
    Carrier("250", "02", "MegaFon", "Санкт-Петербург"),
    Carrier("250", "20", "Tele2", "Свердловская область"),
    Carrier("250", "99", "Beeline", "Новосибирская область"),
)


def carrier(phone: str) -> Carrier:
    """Made up from the number's digits, the same each time."""
    return _CARRIERS[int(phone[-4:]) // 100 % len(_CARRIERS)]
