"""What a message is made of: origin, lane, channel, whom to tell, and why one may fail."""

from enum import StrEnum


class Origin(StrEnum):
    """Where a message comes from; decides its lane."""

    CARD = "card"  # module_id=crm: a manager in a CRM card
    ROBOT = "robot"  # module_id=bizproc: a robot or workflow
    SERVICE = "service"  # no module_id: one-time codes, robots with the default provider
    MARKETING = "marketing"  # module_id=sender: a letter of CRM marketing
    MANUAL = "manual"  # `smsbridge send`


class Lane(StrEnum):
    INTERACTIVE = "interactive"  # somebody waits for it
    BULK = "bulk"

    @staticmethod
    def of(origin: Origin) -> "Lane":
        return Lane.BULK if origin is Origin.MARKETING else Lane.INTERACTIVE


class Channel(StrEnum):
    SMS = "sms"
    VIBER = "viber"


class Route(StrEnum):
    """What is asked for; an attempt then goes out by a `Channel`."""

    SMS = "sms"
    VIBER = "viber"
    CASCADE = "cascade"


class ReportTo(StrEnum):
    PORTAL = "portal"  # messageservice.message.status.update by the portal's message_id
    ROBOT = "robot"  # bizproc.event.send by an event token, with the final state
    ROBOT_AT_ONCE = "robot_at_once"  # the same as soon as it is taken
    NOBODY = "nobody"


STEP_REPORTS = frozenset({ReportTo.ROBOT, ReportTo.ROBOT_AT_ONCE})


class TokenCheck(StrEnum):
    """How a call's application token compared with the installation's."""

    MATCH = "match"
    ABSENT = "absent"  # author-less messages carry none
    MISMATCH = "mismatch"  # held: an update of the application may be on its way


class Reason(StrEnum):
    """Why a message did not arrive. A closed list: shown to people, counted in metrics."""

    BAD_NUMBER = "BadNumber"
    EMPTY_TEXT = "EmptyText"
    TEXT_TOO_LONG = "TextTooLong"
    CHANNEL_PREFIX = "ChannelPrefix"
    FOREIGN_CODE = "ForeignCode"
    TOKEN_REFUSED = "TokenRefused"  # noqa: S105 - a reason, no secret
    EXPIRED = "Expired"
    CANCELLED = "Cancelled"
    PROVIDER_REMOVED = "ProviderRemoved"
    BAD_REQUEST = "BadRequest"  # SMSC 1 or 5
    TEXT_DENIED = "TextDenied"  # SMSC 6
    NUMBER_REFUSED = "NumberRefused"  # SMSC 7
    CANNOT_DELIVER = "CannotDeliver"  # SMSC 8
    DUPLICATE = "Duplicate"
    NOT_DELIVERED = "NotDelivered"
    NOT_DELIVERED_IN_TIME = "NotDeliveredInTime"
    FORBIDDEN = "Forbidden"
    NO_MONEY = "NoMoney"
    NUMBER_ABSENT = "NumberAbsent"
    NUMBER_UNAVAILABLE = "NumberUnavailable"
    OUTCOME_UNKNOWN = "OutcomeUnknown"


REASON_SENTENCES: dict[Reason, str] = {
    Reason.BAD_NUMBER: "what was given as a phone is no phone number; correct it in the CRM and send again",
    Reason.EMPTY_TEXT: "the text is empty; write one and send again",
    Reason.TEXT_TOO_LONG: "the text is over 1,000 characters, SMSC's limit; shorten it and send again",
    Reason.CHANNEL_PREFIX: "the text begins with a word that makes SMSC use another channel; begin otherwise",
    Reason.FOREIGN_CODE: "the call names another provider's code; check the handler URL in Bitrix24",
    Reason.TOKEN_REFUSED: "the call's application token is not this installation's, also after waiting",
    Reason.EXPIRED: "it could not be handed to SMSC within its validity",
    Reason.CANCELLED: "it was taken back before it was sent",
    Reason.PROVIDER_REMOVED: "its provider was removed before it was sent",
    Reason.BAD_REQUEST: "SMSC says that the request's parameters are wrong",
    Reason.TEXT_DENIED: "SMSC forbids this text or sender name",
    Reason.NUMBER_REFUSED: "SMSC says that the number has a wrong format",
    Reason.CANNOT_DELIVER: "SMSC cannot deliver to this number",
    Reason.DUPLICATE: "SMSC calls it a duplicate of a message just sent",
    Reason.NOT_DELIVERED: "the operator could not deliver it",
    Reason.NOT_DELIVERED_IN_TIME: "it was not delivered within its life time",
    Reason.FORBIDDEN: "SMSC forbade it (spam filter, black list, flood to one number or sender name)",
    Reason.NO_MONEY: "the account had no money for it",
    Reason.NUMBER_ABSENT: "the number does not exist, as a look-up told before",
    Reason.NUMBER_UNAVAILABLE: "the number could not be reached, as a look-up told, and such are left out",
    Reason.OUTCOME_UNKNOWN: "nobody can say any more whether it arrived: no receipt came in time",
}
