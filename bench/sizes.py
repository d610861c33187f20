"""How much of everything: enough for steady figures, and under six minutes in all."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Posts, unless it says otherwise."""

    rounds: int = 5  # runs of the bare handler and of the door, in turn
    warm: int = 500
    bare: int = 16_000
    door: int = 6_000
    while_sending: int = 3_000
    paced: int = 4_000
    interactive: int = 200
    broadcast: int = 5_000
    through_sender: int = 10_000
    gain: int = 1_000
    writing: int = 2_000
    portal_window_seconds: float = 25.0
    contacts: int = 10_000
    contacts_governed: int = 4_000
    lookup_calls: int = 25
    resources_alone: int = 5
    resources_together: int = 50


WHOLE = Sizes()
QUICK = Sizes(
    rounds=1,
    warm=200,
    bare=2_000,
    door=1_000,
    while_sending=1_000,
    paced=1_000,
    interactive=60,
    broadcast=1_500,
    through_sender=2_000,
    gain=300,
    writing=500,
    portal_window_seconds=5.0,
    contacts=500,
    contacts_governed=500,
    lookup_calls=3,
    resources_alone=1,
    resources_together=5,
)
