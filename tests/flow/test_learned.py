"""Channels learnt, whole: who never reads Viber gets an SMS next time at once, and the CRM shows it."""

from pathlib import Path

from smsbridge.sandbox.orders import EntitiesOrder, EntityOrder
from smsbridge.sandbox.settings import Profile
from tests.flow import harness

CHANNEL = "UF_CRM_SMS_CHANNEL"
UNREAD = [f"+799930{n:03d}86" for n in range(20)]  # on Viber, and never read
HOUR = 3600.0


async def test_a_letter_skips_viber_for_those_whose_cascade_ended_in_sms(tmp_path: Path) -> None:
    """SMSC's own cascade (profile guide) waits an hour for Viber; the second letter does not."""
    plan = harness.Plan(spec={"routing": {"channel": "cascade", "viberTimeout": "1h"}})
    async with harness.running(tmp_path, plan) as stack:
        contacts = await made(stack, [[phone] for phone in UNREAD])
        await stack.posted(await stack.broadcast(UNREAD, text="Первое письмо"))
        await at_smsc(stack, len(UNREAD))
        await stack.control.advance(HOUR)
        await channels(stack, dict.fromkeys(contacts, "sms"))
        by_hand = contacts[0]
        order = EntityOrder(fields={CHANNEL: "viber"})
        await stack.control.change_entity(harness.DOMAIN, "contact", by_hand, order)
        await preferred(stack, UNREAD[0], "viber")

        await stack.posted(await stack.broadcast(UNREAD, text="Второе письмо"))
        await at_smsc(stack, 2 * len(UNREAD))
        sent = await stack.control.sends("guide")
        asked = {one.channel: sorted(one.phones) for one in sent[-2:]}
        assert asked == {"cascade": [UNREAD[0].lstrip("+")], "sms": digits(UNREAD[1:])}
        waits = await delivered_after(stack, UNREAD[1])
        assert waits[0] > HOUR
        assert waits[1] < 60.0
        assert (await stack.control.traffic(harness.DOMAIN)).status_503 == 0
        found = await stack.control.entities(harness.DOMAIN, "contact")
        assert found[0].user_fields[CHANNEL] == "viber"


async def test_viber_that_arrives_later_undoes_it(tmp_path: Path) -> None:
    """Our own cascade (profile http): Viber took too long, so SMS; then a message by Viber alone arrives."""
    routing = {
        "channel": "cascade",
        "viberTimeout": "2s",
        "rules": [{"name": "vouchers", "when": {"textMatches": "^Ваучер"}, "channel": "viber"}],
    }
    plan = harness.Plan(profile=Profile.HTTP, spec={"routing": routing})
    phone = "+79993100199"  # slow: its receipts come late
    settings = harness.sandbox_settings()
    settings.accounts[1].timing.late_seconds = 4.0
    async with harness.running(tmp_path, plan, settings=settings) as stack:
        (contact,) = await made(stack, [[phone]])
        await stack.posted(await stack.broadcast([phone], text="Письмо"))
        await channels(stack, {contact: "sms"})
        await stack.posted(await stack.broadcast([phone], text="Ваучер на 500"))
        await channels(stack, {contact: None})


async def made(stack: harness.Stack, phones: list[list[str]]) -> list[int]:
    order = EntitiesOrder(phones=phones, quiet=True)
    return await stack.control.create_entities(harness.DOMAIN, "contact", order)


async def at_smsc(stack: harness.Stack, count: int) -> None:
    async def there() -> bool:
        return (await stack.smsc_ledger()).messages == count

    await harness.until(there, seconds=60, what=stack.log_tail)


async def channels(stack: harness.Stack, wanted: dict[int, str | None]) -> None:
    """The contacts come to show these."""
    found: dict[int, str | None] = {}

    async def right() -> bool:
        listed = await stack.control.entities(harness.DOMAIN, "contact")
        found.update({one.entity_id: one.user_fields.get(CHANNEL) for one in listed})
        return found == wanted

    await harness.until(right, seconds=60, what=lambda: f"{found}\n{stack.log_tail()}")


async def preferred(stack: harness.Stack, phone: str, channel: str) -> None:
    async def there() -> bool:
        found = await stack.preferences([phone.lstrip("+")])
        return {number: one.value for number, one in found.items()} == {phone.lstrip("+"): channel}

    await harness.until(there, seconds=30, what=stack.log_tail)


async def delivered_after(stack: harness.Stack, phone: str) -> list[float]:
    """Seconds of the sandbox's clock from acceptance to the last change, in order of acceptance."""

    async def final() -> bool:
        listed = await stack.control.messages("guide", phone=phone)
        return len(listed) == 2 and all(one.status in (1, 20) for one in listed)

    await harness.until(final, seconds=30, what=stack.log_tail)
    listed = await stack.control.messages("guide", phone=phone)
    return [one.changed_at - one.accepted_at for one in sorted(listed, key=lambda one: one.accepted_at)]


def digits(phones: list[str]) -> list[str]:
    return sorted(phone.lstrip("+") for phone in phones)
