"""Batches on a real Valkey: each message is claimed once, in requests that SMSC would take."""

import time
from collections import Counter
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smsbridge.core import text
from smsbridge.core.message import Channel, Lane, Origin, Route
from smsbridge.core.provider import Batching, Profile, Provider, Routing
from smsbridge.sender import intake
from smsbridge.store import connection, delivery, outbox
from tests.store import messages

UID = messages.UID
TEXTS = ("Привет", "Скидка 20 %", "Код 1234", "Ваш заказ\nготов", "~" * 20)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A message; few phones and few texts, so that they meet."""

    phone: int
    text: str
    origin: Origin
    route: Route
    wait_seconds: int


wanted = st.builds(
    Wanted,
    phone=st.integers(0, 30),
    text=st.sampled_from(TEXTS),
    origin=st.sampled_from([Origin.MARKETING, Origin.CARD]),
    route=st.sampled_from(Route),
    wait_seconds=st.sampled_from([0, 120]),
)
# Also one text to many numbers, so that batches fill up.
letters = st.integers(0, 230).map(
    lambda count: [Wanted(1000 + n, TEXTS[0], Origin.MARKETING, Route.SMS, 0) for n in range(count)]
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    database=None,
)
@given(
    mixed=st.lists(wanted, max_size=80),
    letter=letters,
    profile=st.sampled_from(Profile),
    most=st.sampled_from([1, 3, 100]),
    claims_most=st.sampled_from([2, 100]),
)
async def test_every_message_is_claimed_once(
    store: connection.Store,
    mixed: list[Wanted],
    letter: list[Wanted],
    profile: Profile,
    most: int,
    claims_most: int,
) -> None:
    await store.redis.flushall()
    box = outbox.Outbox(store)
    provider = messages.provider(
        profile=profile,
        routing=Routing(),
        batching=Batching(max_numbers=most, linger_ms=0, interactive_linger_ms=0),
    )
    given_ = [*mixed, *letter]
    taken = {f"{n:032x}": _prepared(n, item, provider) for n, item in enumerate(given_)}
    if taken:
        assert set(await box.accept(UID, list(taken.values()))) == {"accepted"}
    claims = [found for lane in Lane for found in await _all_claims(box, lane, claims_most)]
    counted = Counter(member.message_id for claim in claims for member in claim.members)
    assert counted == Counter(taken.keys())
    for claim in claims:
        _check(claim, taken, provider, limit=min(most, claims_most))
    books = await delivery.Deliveries(store).ledger(UID)
    assert (books.accepted, books.sending, books.unaccounted) == (len(taken), len(taken), 0)


def _prepared(number: int, item: Wanted, provider: Provider) -> outbox.NewMessage:
    asked = messages.outgoing(
        number,
        recipient=messages.phone(item.phone),
        text=item.text,
        origin=item.origin,
        route=item.route,
        wait_seconds=item.wait_seconds,
        accepted_at_ms=time.time_ns() // 1_000_000,
    )
    return intake.prepare(asked, provider, default_region="RU")


async def _all_claims(box: outbox.Outbox, lane: Lane, most: int) -> list[outbox.Claim]:
    """Until nothing of the lane waits."""
    found: list[outbox.Claim] = []
    while True:
        op = f"{lane}{len(found)}"
        claim = await box.claim(UID, op=op, lane=lane, owner=op, lease_ms=45_000, client_id=op, most=most)
        if not isinstance(claim, int):
            found.append(claim)
        elif claim < 0:
            return found


def _check(
    claim: outbox.Claim, taken: dict[str, outbox.NewMessage], provider: Provider, *, limit: int
) -> None:
    """What SMSC takes in one request: guarantee 4, design 4."""
    phones = [member.msisdn for member in claim.members]
    assert 1 <= len(phones) <= limit
    assert len(set(phones)) == len(phones)
    texts = {member.text for member in claim.members}
    if provider.account.profile is Profile.GUIDE:
        assert len(texts) == 1
    for member in claim.members:
        message = taken[member.message_id]
        leg = intake.load_legs(message.legs)[0]
        assert (message.to, message.th) == (member.msisdn, text.digest(member.text))
        assert (message.lane, leg.channel) == (claim.group.lane, Channel(claim.group.channel))
        waits = (claim.group.native_wait, claim.group.valid_seconds)
        assert waits == ((leg.wait_seconds, 0) if leg.native else (0, leg.wait_seconds))
