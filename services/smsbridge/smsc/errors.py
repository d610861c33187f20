"""What may go wrong in a question to SMSC (status, balance, price).

A send raises none of them: what becomes of it is a `SendAnswer`, and each of those has a rule of its own.

    core.errors.SmsbridgeError
    └── SmscError
        ├── SmscAway       (also core Away)     no answer, or none that can be read; ask again later
        └── SmscRejected   (also core Refused)  an answer with an error code
"""

from smsbridge.core import errors
from smsbridge.core.account import Said

_SAYS = {2: Said.LOGIN, 4: Said.BLOCKED}  # the same on every script (8.1)


class SmscError(errors.SmsbridgeError):
    code = "SmscError"


class SmscAway(SmscError, errors.Away):
    """`reason` is one of the client's fixed words: timeout, reset, http_502, html, empty, short, dns ..."""

    code = "SmscAway"

    def __init__(self, reason: str) -> None:
        super().__init__(f"SMSC gave no usable answer ({reason})")
        self.reason = reason


class SmscRejected(SmscError, errors.Refused):
    """`error_code` is SMSC's; what it means depends on the script that was asked.

    `text` is SMSC's own and stays out of the sentence.
    """

    code = "SmscRejected"

    def __init__(self, error_code: int, text: str) -> None:
        super().__init__(f"SMSC answered with error {error_code}")
        self.error_code = error_code
        self.text = text

    @property
    def said(self) -> Said:
        """What it says of the account, whichever script was asked; other codes say nothing of it."""
        return _SAYS.get(self.error_code, Said.NOTHING)
