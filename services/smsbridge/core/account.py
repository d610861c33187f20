"""What an answer of SMSC says of the account that asked, and of the address it asked from."""

from enum import StrEnum


class Said(StrEnum):
    NOTHING = ""
    GOOD = "good"  # a success
    BAD_REQUEST = "bad_request"  # counted: a hundred in a row block the address
    LOGIN = "login"  # wrong login or password, or this address is not allowed
    MONEY = "money"  # there is not enough
    BLOCKED = "blocked"  # the address, for a while
    TOO_MANY = "too_many"  # requests at a time
    UNREACHABLE = "unreachable"  # no answer: nothing left us
