"""Faults that the control API orders: which, how often, how likely, and at which call.

A fault is chosen here and acted out by the application it belongs to. Chances come from a seeded generator,
so a run can be repeated.
"""

import random
from collections.abc import Collection
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class FaultKind(StrEnum):
    # Any of the three servers; "accept" is SMSC's accepting, the portal's applying, OAuth's issuing.
    TIMEOUT_AFTER_ACCEPT = (
        "timeout_after_accept"  # done, but no answer for `seconds`; then the connection ends
    )
    TIMEOUT_BEFORE_ACCEPT = "timeout_before_accept"
    RESET_AFTER_ACCEPT = "reset_after_accept"
    RESET_BEFORE_ACCEPT = "reset_before_accept"
    HTTP_502_AFTER_ACCEPT = "http_502_after_accept"
    HTTP_502_THEN_ACCEPT_AFTER = "http_502_then_accept_after"  # 502 at once, done after `seconds`
    HTTP_500 = "http_500"  # not done
    HTML = "html"  # a page instead of an answer; done only with `accept`
    EMPTY = "empty"
    NON_JSON = "non_json"
    REDIRECT_302 = "redirect_302"
    # SMSC
    NO_MONEY = "no_money"
    BLOCK_IP = "block_ip"
    MEMBER_MISSING = "member_missing_from_answer"  # the request's last number is left out of phones[]
    STATUS_DOWN = "status_down"  # status.php answers what `mode` says
    LOSE_CALLBACKS = "lose_callbacks"
    DELAY_CALLBACKS = "delay_callbacks"
    DUPLICATE_CALLBACKS = "duplicate_callbacks"
    REORDER_CALLBACKS = "reorder_callbacks"  # held until another callback has gone, or `seconds` have passed
    # The portal
    QUERY_LIMIT = "query_limit"
    OVERLOAD = "overload"
    OPERATION_TIME_LIMIT = "operation_time_limit"
    NOT_INSTALLED = "not_installed"
    APPLICATION_NOT_FOUND = "application_not_found"
    PAYMENT_REQUIRED = "payment_required"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 - the name of an error
    PORTAL_DELETED = "portal_deleted"
    COMMAND_ERROR = "command_error"  # one command of a batch, or one call, fails with `error`
    # OAuth
    INVALID_GRANT = "invalid_grant"
    WRONG_CLIENT = "wrong_client"  # HTTP 200 with an error in it


class StatusDown(StrEnum):
    HTTP_500 = "500"
    HTML = "html"
    ERROR_9 = "error_9"


TRANSPORT = frozenset(
    {
        FaultKind.TIMEOUT_AFTER_ACCEPT,
        FaultKind.TIMEOUT_BEFORE_ACCEPT,
        FaultKind.RESET_AFTER_ACCEPT,
        FaultKind.RESET_BEFORE_ACCEPT,
        FaultKind.HTTP_502_AFTER_ACCEPT,
        FaultKind.HTTP_502_THEN_ACCEPT_AFTER,
        FaultKind.HTTP_500,
        FaultKind.HTML,
        FaultKind.EMPTY,
        FaultKind.NON_JSON,
        FaultKind.REDIRECT_302,
    }
)


class Fault(BaseModel):
    """One order. It is used up after `count` uses; without a count it stays until it is cleared."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    kind: FaultKind = Field(description="what goes wrong")
    count: int | None = Field(default=None, ge=1, description="how many times; empty means until cleared")
    probability: float = Field(default=1.0, gt=0, le=1, description="chance at every call that it fits")
    seed: int = Field(default=1, description="seed of the chances, so that a run can be repeated")
    seconds: float = Field(default=30.0, ge=0, description="how long it hangs, is late or is held, seconds")
    call: str = Field(
        default="", description="endpoint or method it is meant for; empty: `send` at SMSC, any elsewhere"
    )
    accept: bool = Field(
        default=False, description="html, empty, non_json, redirect_302: the work is done first"
    )
    mode: StatusDown = Field(default=StatusDown.HTTP_500, description="status_down: what is answered")
    error: str = Field(default="ERROR_MESSAGE_NOT_FOUND", description="command_error: the error's code")


class _Active:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.left = fault.count
        self.fired = 0
        self.random = random.Random(fault.seed)


class FaultBook:
    def __init__(self, *, default_call: str = "") -> None:
        self._default_call = default_call
        self._active: list[_Active] = []

    def add(self, fault: Fault) -> None:
        self._active.append(_Active(fault))

    def clear(self) -> None:
        self._active.clear()

    def pick(self, kinds: Collection[FaultKind], *, call: str = "") -> Fault | None:
        """The first fault of these kinds that strikes this call; its use is counted."""
        for active in self._active:
            fault = active.fault
            if fault.kind not in kinds or active.left == 0 or not self._fits(fault, call):
                continue
            if fault.probability < 1 and active.random.random() >= fault.probability:
                continue
            active.fired += 1
            if active.left is not None:
                active.left -= 1
            return fault
        return None

    def _fits(self, fault: Fault, call: str) -> bool:
        wanted = fault.call
        if not wanted and fault.kind in TRANSPORT:
            wanted = self._default_call
        return not wanted or wanted == call

    def report(self) -> list[dict[str, object]]:
        return [
            {"kind": active.fault.kind.value, "left": active.left, "fired": active.fired}
            for active in self._active
        ]
