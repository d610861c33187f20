"""What must hold for any attempts in any order: core.delivery by itself, without the store's scripts."""

from hypothesis import given
from hypothesis import strategies as st

from smsbridge.core import delivery
from smsbridge.core.delivery import AttemptState, MessageState

states = st.sampled_from(AttemptState)
histories = st.lists(states, max_size=20)


def run(readings: list[AttemptState]) -> list[AttemptState]:
    """An attempt's states, one after each reading."""
    current, seen = AttemptState.PLANNED, []
    for reading in readings:
        if delivery.advances(current, reading):
            current = reading
        seen.append(current)
    return seen


@given(histories)
def test_an_attempt_never_goes_back(readings: list[AttemptState]) -> None:
    ranks = [state.rank for state in run(readings)]
    assert ranks == sorted(ranks)


@given(histories, histories)
def test_nothing_replaces_delivered(before: list[AttemptState], after: list[AttemptState]) -> None:
    assert run([*before, AttemptState.DELIVERED, *after])[len(before) :] == [AttemptState.DELIVERED] * (
        len(after) + 1
    )


@given(st.permutations([state for state in AttemptState if state is not AttemptState.FAILED]))
def test_the_order_of_readings_does_not_matter(readings: list[AttemptState]) -> None:
    assert run(readings)[-1] is AttemptState.DELIVERED


@given(histories)
def test_a_repeat_changes_nothing(readings: list[AttemptState]) -> None:
    doubled = [reading for reading in readings for _ in range(2)]
    assert run(doubled)[1::2] == run(readings)


@given(st.lists(states, min_size=1, max_size=3), st.booleans())
def test_a_message_is_final_only_when_nothing_is_open_or_planned(
    attempts: list[AttemptState], planned: bool
) -> None:
    derived = delivery.derive(attempts, planned=planned)
    arrived = AttemptState.DELIVERED in attempts
    assert (derived is MessageState.DELIVERED) == arrived
    still = planned or not all(attempt.final for attempt in attempts)
    assert derived.final == (arrived or not still)


@given(st.lists(states, min_size=1, max_size=3), st.booleans(), st.data())
def test_a_reading_never_takes_a_delivery_back(
    attempts: list[AttemptState], planned: bool, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(attempts) - 1))
    reading = data.draw(states)
    after = [*attempts]
    if delivery.advances(after[index], reading):
        after[index] = reading
    if delivery.derive(attempts, planned=planned) is MessageState.DELIVERED:
        assert delivery.derive(after, planned=planned) is MessageState.DELIVERED
