"""Bitrix24's errors, as facts a caller can act on. What becomes of them is decided by the caller, not here.

    core.InputError
    └── FormInvalid               a posted form or JSON cannot be read
        └── FormTooLarge          more bytes than we take
    PortalError                   the portal, its OAuth host, or the way to them
    ├── PortalRefused             (core.Refused) the answer is no
    │   ├── AccessDenied          the token's user may not do this
    │   │   └── InsufficientScope the application may not do this
    │   ├── MethodMissing         this portal does not know the method
    │   ├── TokenExpired          the access token ran out; the client renews it once
    │   ├── InstallationBroken    no token of this installation works any more
    │   │   └── GrantRefused      its refresh token is dead: install or authorise again
    │   ├── ClientRefused         client id or secret are wrong
    │   └── PortalGone            the portal was deleted
    └── PortalUnavailable         (core.Away) not now
        ├── RateLimited           too many requests; back off
        ├── Overloaded            blocked by Bitrix24; stop the portal's queue
        ├── OperatingTimeOver     one method has used up its operating time
        └── PortalAway            nobody answered, or nothing readable came back

`sentence` never quotes what the portal said: it may repeat a phone or a text. `description` has the portal's
words; it may be shown to the owner of the portal, and is not for logs.
"""

import re

from smsbridge.core import errors

_READABLE_CODE = re.compile(r"[A-Za-z0-9_.\-]{1,64}\Z")
MAX_DESCRIPTION_CHARACTERS = 300


class FormInvalid(errors.InputError):
    code = "FormInvalid"


class FormTooLarge(FormInvalid):
    code = "FormTooLarge"


class PortalError(errors.SmsbridgeError):
    """`rest_code` is what the portal put under `error`, as it spelled it; perhaps empty or digits."""

    code = "PortalError"

    def __init__(
        self, sentence: str, *, method: str = "", rest_code: str = "", description: str = ""
    ) -> None:
        super().__init__(sentence)
        self.method = method
        self.rest_code = rest_code
        self.description = description[:MAX_DESCRIPTION_CHARACTERS]


class PortalRefused(PortalError, errors.Refused):
    code = "PortalRefused"


class AccessDenied(PortalRefused):
    code = "AccessDenied"


class InsufficientScope(AccessDenied):
    code = "InsufficientScope"


class MethodMissing(PortalRefused):
    code = "MethodMissing"


class TokenExpired(PortalRefused):
    code = "TokenExpired"


class InstallationBroken(PortalRefused):
    code = "InstallationBroken"


class GrantRefused(InstallationBroken):
    code = "GrantRefused"


class ClientRefused(PortalRefused):
    code = "ClientRefused"


class PortalGone(PortalRefused):
    code = "PortalGone"


# The installation does not work, whatever was asked: no word about one call or command.
OF_INSTALLATION = (TokenExpired, InstallationBroken, ClientRefused, PortalGone)


class PortalUnavailable(PortalError, errors.Away):
    code = "PortalUnavailable"


class RateLimited(PortalUnavailable):
    code = "RateLimited"


class Overloaded(PortalUnavailable):
    code = "Overloaded"


class OperatingTimeOver(PortalUnavailable):
    """`reset_at`: unix seconds from which the method may be called again; None where not told."""

    code = "OperatingTimeOver"

    def __init__(
        self,
        sentence: str,
        *,
        method: str = "",
        rest_code: str = "",
        description: str = "",
        reset_at: int | None = None,
    ) -> None:
        super().__init__(sentence, method=method, rest_code=rest_code, description=description)
        self.reset_at = reset_at


class PortalAway(PortalUnavailable):
    """`after_first_byte`: the request had begun to leave, so the other side may have acted on it."""

    code = "PortalAway"

    def __init__(
        self,
        sentence: str,
        *,
        after_first_byte: bool,
        method: str = "",
        rest_code: str = "",
        description: str = "",
    ) -> None:
        super().__init__(sentence, method=method, rest_code=rest_code, description=description)
        self.after_first_byte = after_first_byte


def readable_code(rest_code: str) -> str:
    """`rest_code` where it is fit for a sentence or a log line; what a stranger wrote freely is not."""
    if not rest_code:
        return "an empty error code"
    return rest_code if _READABLE_CODE.match(rest_code) else "an unreadable error code"
