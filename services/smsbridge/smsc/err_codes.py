"""SMSC's delivery errors (`err` of a status, `error` of a number in an answer), section 6.2 of its reference.

They refine a status; they never replace it. What the classes mean is our reading, not SMSC's word.
"""

from dataclasses import dataclass
from enum import StrEnum

from smsbridge.core.message import Reason

TEST_MODE = 200
NO_STATUS = 245


class ErrClass(StrEnum):
    OK = "ok"
    NUMBER = "number"  # this number will not take it later either
    TEMPORARY = "temporary"
    CHANNEL = "channel"  # not by this channel
    ACCOUNT = "account"  # a setting, contract or limit of the account
    TEXT = "text"
    SENDER = "sender"  # the sender ID
    MESSAGE = "message"  # this one message
    VOICE = "voice"
    TEST = "test"  # nothing was sent
    UNKNOWN = "unknown"  # nobody knows the outcome
    UNLISTED = "unlisted"  # SMSC does not describe it


@dataclass(frozen=True, slots=True)
class Err:
    meaning: str
    cls: ErrClass
    reason: Reason | None = None  # sharper than the status's own; None: the status says enough


ERR = {
    0: Err("no error", ErrClass.OK),
    1: Err("subscriber does not exist", ErrClass.NUMBER, Reason.CANNOT_DELIVER),
    6: Err("subscriber offline", ErrClass.TEMPORARY),
    11: Err("no SMS service, roaming or a landline", ErrClass.NUMBER),
    12: Err("fault in phone or SIM", ErrClass.TEMPORARY),
    13: Err("subscriber blocked", ErrClass.NUMBER),
    21: Err("service not supported by the device", ErrClass.CHANNEL),
    TEST_MODE: Err("virtual sending: test mode", ErrClass.TEST),
    219: Err("SIM replaced, named senders are blocked for 24 h", ErrClass.TEMPORARY),
    220: Err("operator queue full, SMSC itself retries", ErrClass.TEMPORARY),
    237: Err("no answer", ErrClass.VOICE),
    238: Err("no template", ErrClass.TEXT, Reason.TEXT_DENIED),
    239: Err("forbidden IP address", ErrClass.ACCOUNT, Reason.FORBIDDEN),
    240: Err("subscriber busy", ErrClass.VOICE),
    241: Err("conversion error, or not all parts passed", ErrClass.MESSAGE),
    242: Err("answering machine", ErrClass.VOICE),
    243: Err("no contract for mass sending", ErrClass.ACCOUNT, Reason.FORBIDDEN),
    244: Err("mailing forbidden, or a forbidden link", ErrClass.TEXT, Reason.TEXT_DENIED),
    NO_STATUS: Err("no status received within a day", ErrClass.UNKNOWN),
    246: Err("time of day restricted by the account's settings", ErrClass.ACCOUNT, Reason.FORBIDDEN),
    247: Err("the account's daily limit is reached", ErrClass.ACCOUNT, Reason.FORBIDDEN),
    248: Err("no route", ErrClass.NUMBER, Reason.CANNOT_DELIVER),
    249: Err("wrong number format", ErrClass.NUMBER, Reason.NUMBER_REFUSED),
    250: Err("number forbidden by the account's settings", ErrClass.NUMBER, Reason.FORBIDDEN),
    251: Err("too many messages to one number", ErrClass.TEMPORARY, Reason.FORBIDDEN),
    252: Err("forbidden number", ErrClass.NUMBER, Reason.FORBIDDEN),
    253: Err("spam filter", ErrClass.TEXT, Reason.FORBIDDEN),
    254: Err("unregistered sender ID", ErrClass.SENDER, Reason.TEXT_DENIED),
    255: Err("rejected by the operator", ErrClass.NUMBER),
}

_UNLISTED = Err("an error that SMSC does not describe", ErrClass.UNLISTED)


def read_err(code: int) -> Err:
    return ERR.get(code, _UNLISTED)
