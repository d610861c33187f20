"""Our two steps in a portal, as `spec.crm.robots` wants them: offered with our settings, or taken away.

The codes carry the provider's own, so providers of one application do not meet here. What is missing is made
by whoever sends `Seen.changes`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from smsbridge.bitrix24 import batch, bizproc, steps
from smsbridge.bitrix24 import errors as portal_errors
from smsbridge.bitrix24.bizproc import StepKind, StepSpec
from smsbridge.core import errors
from smsbridge.provisioning import conditions, urls
from smsbridge.provisioning.conditions import Condition, Reason, Status, Type


@dataclass(frozen=True, slots=True)
class Steps:
    """Of one provider. `offered` as the spec says, `handlers` is the address before their codes."""

    provider_code: str
    handlers: str
    offered: bool

    @property
    def longest(self) -> int:
        """Characters of the longest code."""
        return max(len(code) for _, code in steps.codes(self.provider_code))

    @property
    def wanted(self) -> Sequence[tuple[StepKind, StepSpec]]:
        if not self.offered or self.longest > bizproc.MAX_CODE:
            return ()
        return steps.all_specs(self.provider_code, handlers=self.handlers)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look told. `changes` are still to be made; `away`: it cannot be told now."""

    changes: Sequence[batch.Command] = ()
    refusals: Sequence[str] = ()
    managed: bool = True
    away: portal_errors.PortalUnavailable | None = None


def look(own: Steps) -> list[batch.Command]:
    """Commands that tell what there is, and write the same settings again where there should be any."""
    lists = [bizproc.list_command(kind) for kind in StepKind]
    return [*lists, *(bizproc.update_command(kind, step) for kind, step in own.wanted)]


def read(own: Steps, results: Sequence[batch.CommandResult]) -> Seen:
    """From the results of `look`."""
    lists, updates = results[: len(StepKind)], results[len(StepKind) :]
    for result in results:
        if isinstance(result.error, portal_errors.InsufficientScope):
            return Seen(managed=False)
    for result in lists:
        if isinstance(result.error, portal_errors.PortalUnavailable):
            return Seen(away=result.error)
        if result.error is not None:
            return Seen(refusals=[_words(result.error)])
    listed = {
        (kind, code.lower())
        for kind, result in zip(StepKind, lists, strict=True)
        for code in bizproc.read_codes(result.value)
    }
    if own.offered:
        return _offered(own, listed, updates)
    surplus = [
        (kind, code) for kind, code in steps.codes(own.provider_code) if (kind, code.lower()) in listed
    ]
    return Seen([bizproc.delete_command(kind, code) for kind, code in surplus])


def _offered(own: Steps, listed: set[tuple[StepKind, str]], updates: Sequence[batch.CommandResult]) -> Seen:
    if not own.wanted:
        over = own.longest - bizproc.MAX_CODE
        return Seen(refusals=[f"spec.code is {over} characters too long for the codes of our steps"])
    missing: list[batch.Command] = []
    refusals: list[str] = []
    for (kind, step), result in zip(own.wanted, updates, strict=True):
        if result.ok:
            continue
        if (kind, step.code.lower()) not in listed or bizproc.is_missing(result.error):
            missing.append(bizproc.add_command(kind, step))
        elif isinstance(result.error, portal_errors.PortalUnavailable):
            return Seen(away=result.error)
        elif result.error is not None:
            refusals.append(f"{step.code}: {_words(result.error)}")
    return Seen(missing, refusals)


def condition(own: Steps, seen: Seen, results: Sequence[batch.CommandResult]) -> Condition:
    """RobotsReady. `results`: what came of `seen.changes`."""
    if seen.away is not None:
        return _away(seen.away)
    refusals = list(seen.refusals)
    for command, result in zip(seen.changes, results, strict=True):
        if result.error is None or (not own.offered and bizproc.is_missing(result.error)):
            continue
        if isinstance(result.error, errors.Away):
            return _away(result.error)
        refusals.append(f"{command.params['CODE']}: {_words(result.error)}")
    if refusals:
        more = f"; and {len(refusals) - 1} more" if len(refusals) > 1 else ""
        return _said(Status.FALSE, Reason.ROBOTS_REFUSED, refusals[0] + more)
    if not own.offered:
        return _said(Status.TRUE, Reason.ROBOTS_OFF)
    return _said(Status.TRUE, Reason.ROBOTS_REGISTERED if seen.managed else Reason.ROBOTS_NOT_MANAGED)


def waiting() -> Condition:
    return _said(Status.UNKNOWN, Reason.WAITING_FOR_PORTAL)


def removal(provider_code: str) -> list[batch.Command]:
    return [bizproc.delete_command(kind, code) for kind, code in steps.codes(provider_code)]


def _away(error: errors.SmsbridgeError) -> Condition:
    return _said(Status.UNKNOWN, Reason.PORTAL_AWAY, error.sentence)


def _words(error: portal_errors.PortalError) -> str:
    """The portal may repeat what it was sent, an address with its key too."""
    return urls.without_keys(error.description or error.sentence)


def _said(status: Status, reason: Reason, detail: str = "") -> Condition:
    return conditions.condition(Type.ROBOTS_READY, status, reason, detail=detail)
