"""What a portal must show at the end for a number, a route and a profile, if nothing was lost on the way.

For runs without look-ups before sending. A number ending in 96 fails, and so may others in its request:
which of them depends on how the sender takes a refused request apart.
"""

from smsbridge.core.delivery import PortalStatus
from smsbridge.core.message import Route
from smsbridge.sandbox.phones import REQUEST_ERROR, Behaviour, Kind, Step, behaviour, life
from smsbridge.sandbox.settings import Profile

_PENDING = frozenset({-1, 0})


def portal_status(phone: str, *, route: Route, profile: Profile) -> PortalStatus:
    number = behaviour(phone)
    if number is Behaviour.SPAM or number in REQUEST_ERROR:
        return PortalStatus.FAILED
    if route is Route.CASCADE and profile is Profile.GUIDE:
        return _read(life(number, profile, Kind.CASCADE), arrived={1, 20})
    arrived = {1, 20} if profile is Profile.GUIDE else {1, 2}
    by_sms = _read(life(number, profile, Kind.SMS), arrived=arrived)
    if route is Route.SMS:
        return by_sms
    by_viber = _read(life(number, profile, Kind.VIBER), arrived=arrived)
    if route is Route.VIBER or by_viber is PortalStatus.DELIVERED:
        return by_viber
    return by_sms


def reachability(phone: str) -> str:
    """What a look-up tells of a number that has one; one ending in 91 never has."""
    return {Behaviour.ABSENT: "absent", Behaviour.OFF: "unavailable"}.get(behaviour(phone), "active")


def _read(steps: tuple[Step, ...], *, arrived: set[int]) -> PortalStatus:
    statuses = [step.status for step in steps if step.status is not None]
    if not arrived.isdisjoint(statuses):
        return PortalStatus.DELIVERED
    last = statuses[-1]
    return PortalStatus.SENT if last in _PENDING else PortalStatus.UNDELIVERED
