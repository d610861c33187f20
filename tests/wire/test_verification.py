"""The verification of a contact base by the whole hlr role, against the sandbox's portal and SMSC."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from smsbridge.core import errors
from smsbridge.core.errand import EntityType
from smsbridge.core.provider import Profile
from smsbridge.core.verification import Source, State
from smsbridge.rpc.errors import NotFound
from smsbridge.store.connection import Store
from tests.wire import verification_lab
from tests.wire.verification_lab import role, world

ACTIVE, ABSENT, OFF = "+79991234500", "+79991234597", "+79991234598"
MSK = "+7999200{:04d}"


@pytest.mark.parametrize("profile", Profile)
async def test_contacts_are_looked_up_once_and_written(store: Store, profile: Profile) -> None:
    async with world(store, profile) as one, role(one):
        entities = one.add([ACTIVE], [ABSENT], [OFF], [], [ABSENT, ACTIVE])
        quoted = await one.quoted()
        assert quoted.state is State.QUOTED
        assert quoted.quote is not None
        assert (quoted.quote.entities, quoted.quote.numbers, quoted.quote.known) == (5, 3, 0)
        assert one.looked_up == {}
        await one.client.confirm_verification(quoted.id, roubles=quoted.quote.roubles)
        done = await one.stands(quoted.id)
        assert (done.state, done.reason) == (State.DONE, "")
        assert [one.shows(entity)[0] for entity in entities] == [
            "active", "absent", "unavailable", "", "active",
        ]  # fmt: skip
        assert one.shows(entities[0]) == ("active", "MegaFon", "Санкт-Петербург", True)
        assert set(one.looked_up.values()) == {1}
        assert len(one.looked_up) == 3
        assert dict(done.outcomes) == {"active": 1, "absent": 1, "unavailable": 1}
        progress = done.progress
        assert (progress.entities, progress.without_phone, progress.written) == (5, 1, 4)
        assert (progress.numbers, progress.bought) == (3, 3)
        assert progress.spent == quoted.quote.roubles
        assert done.saves == Decimal("4.00")
        assert await one.budget_spent() == 0
