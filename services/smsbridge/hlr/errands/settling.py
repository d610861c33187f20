"""What a command's own result means for the errand that it was made for."""

import structlog

from smsbridge.bitrix24 import crm
from smsbridge.bitrix24 import errors as portal_errors
from smsbridge.core import errors
from smsbridge.hlr.errands import ends
from smsbridge.hlr.errands.load import Load
from smsbridge.store.errands import Taken

log = structlog.get_logger()


def waits(error: errors.SmsbridgeError) -> bool:
    """Whether it may go better later."""
    again = (errors.Away, *portal_errors.OF_INSTALLATION)
    return isinstance(error, again) or not isinstance(error, errors.Refused)


def failed(load: Load, one: Taken, error: portal_errors.PortalError) -> None:
    if waits(error):
        load.later(one)
    elif crm.is_gone(error):
        load.end(one, ends.GONE)
    else:
        log.warning("errand_refused", kind=one.errand.kind.value, error=error.code)
        load.end(one, ends.REFUSED)


def settle(load: Load, one: Taken, error: portal_errors.PortalError | None, *, word: str = ends.DONE) -> None:
    if error is None:
        load.end(one, word)
    else:
        failed(load, one, error)
