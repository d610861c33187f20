"""The error tree. An error carries facts; each border translates it once.

    SmsbridgeError
    ├── InputError            what somebody gave us is wrong: names the field and the mending
    │   └── ConfigError       a setting or a manifest is wrong
    ├── Refused               the other side understood us and said no; asking again changes nothing
    ├── Away                  nobody answered, or not now; asking again later may help
    │   ├── StoreAway
    │   └── ServiceAway
    └── Uncertain             we cannot know whether the other side acted

The vendors' own errors (`smsc.errors`, `bitrix24.errors`) derive from these.
"""

from typing import ClassVar


class SmsbridgeError(Exception):
    """`code` is stable and fit for metrics; `sentence` is for people and holds no secret, phone or text."""

    code: ClassVar[str] = "Error"
    retryable: ClassVar[bool] = False

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class InputError(SmsbridgeError):
    """`field` is the dotted path of the offending value, empty where there is none."""

    code = "InvalidInput"

    def __init__(self, sentence: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {sentence}" if field else sentence)
        self.field = field


class ConfigError(InputError):
    code = "InvalidConfig"


class Refused(SmsbridgeError):
    code = "Refused"


class Away(SmsbridgeError):
    code = "Away"
    retryable = True


class StoreAway(Away):
    code = "StoreAway"


class ServiceAway(Away):
    code = "ServiceAway"


class Uncertain(SmsbridgeError):
    code = "Uncertain"
