"""Cascades: by which channels, in which order, a message is tried.

Profile `guide` falls back inside SMSC: one attempt. Profile `http` has no fallback: each leg is an attempt of
our own.
"""

from dataclasses import dataclass

from smsbridge.core.message import Channel, Route
from smsbridge.core.provider import Profile, Routing


@dataclass(frozen=True, slots=True)
class Leg:
    """One attempt to be. `wait_seconds`: how long it may take before the next leg starts; 0 for the last."""

    channel: Channel
    wait_seconds: int = 0
    native: bool = False  # SMSC itself falls back to SMS after wait_seconds


MOST_WAIT_SECONDS = 86_400


def least_wait_seconds(*, sandbox: bool) -> int:
    """Of a wait for Viber; SMSC refuses a message that asks for less than a minute (facts/smsc.md)."""
    return 1 if sandbox else 60


def plan(route: Route, routing: Routing, profile: Profile, *, wait_seconds: int = 0) -> tuple[Leg, ...]:
    """A message's legs; `wait_seconds` above 0 replaces the routing's own Viber time-out; a day at most."""
    if route is Route.SMS:
        return (Leg(Channel.SMS),)
    if route is Route.VIBER:
        return (Leg(Channel.VIBER),)
    wait = min(wait_seconds, MOST_WAIT_SECONDS) or routing.viber_timeout_seconds
    if profile is Profile.GUIDE:
        return (Leg(Channel.VIBER, wait_seconds=wait, native=True),)
    first, *rest = routing.order
    return (Leg(first, wait_seconds=wait), *(Leg(channel) for channel in rest[:1]))


def channels(routing: Routing, profile: Profile) -> frozenset[Channel]:
    """By which its rules send."""
    routes = {routing.route, *(rule.route for rule in routing.rules)}
    return frozenset(leg.channel for route in routes for leg in plan(route, routing, profile))
