"""The main path, whole: from the portal's post to its row, counted at the sandbox."""

from pathlib import Path

from smsbridge.core.message import Route
from smsbridge.sandbox.orders import MessageOrigin, SendOrder
from smsbridge.sandbox.settings import Profile
from tests.flow import harness


async def test_every_origin_comes_back_delivered(tmp_path: Path) -> None:
    async with harness.running(tmp_path) as stack:
        for number, origin in enumerate(MessageOrigin):
            await stack.control.send(harness.DOMAIN, SendOrder(origin=origin, phone=f"+7999000000{number}"))
        await stack.rows_right(seconds=30)
        ledger = await stack.smsc_ledger()
        assert (ledger.messages, ledger.sent_twice) == (len(MessageOrigin), 0)
        assert (ledger.get_requests, ledger.secrets_in_url) == (0, 0)
        assert (await stack.unaccounted())["unaccounted"] == 0
        code, out, _ = await stack.command("provider", "list", "--data", str(stack.data))
        assert (code, "smsc" in out) == (0, True)


async def test_ten_thousand_equal_texts_make_exactly_a_hundred_requests(tmp_path: Path) -> None:
    plan = harness.Plan(spec={"batching": {"linger": "5s"}})
    async with harness.running(tmp_path, plan, config=harness.CLEAN) as stack:
        letter = await stack.broadcast(harness.good_phones(10_000), concurrency=64)
        await stack.posted(letter)
        await stack.rows_right(seconds=120)
        ledger = await stack.smsc_ledger()
        assert ledger.by_numbers_per_request == {100: 100}
        assert (ledger.messages, ledger.distinct_phone_text, ledger.sent_twice) == (10_000, 10_000, 0)
        books = await stack.unaccounted()
        assert (books["accepted"], books["delivered"], books["unaccounted"]) == (10_000, 10_000, 0)
        handovers = await stack.control.handovers(harness.DOMAIN)
        assert handovers.by_status == {"200": 10_000}


async def test_ten_thousand_different_texts_make_a_hundred_lists(tmp_path: Path) -> None:
    plan = harness.Plan(profile=Profile.HTTP, spec={"batching": {"linger": "5s"}})
    async with harness.running(tmp_path, plan, config=harness.CLEAN) as stack:
        letter = await stack.broadcast(harness.good_phones(10_000), text="Заказ {n} готов", concurrency=64)
        await stack.posted(letter)
        await stack.rows_right(profile=Profile.HTTP, seconds=120)
        ledger = await stack.smsc_ledger("http")
        assert ledger.by_numbers_per_request == {100: 100}
        assert (ledger.messages, ledger.distinct_phone_text, ledger.sent_twice) == (10_000, 10_000, 0)
        assert (await stack.unaccounted())["unaccounted"] == 0


async def test_numbers_of_every_kind_end_as_they_should(tmp_path: Path) -> None:
    """Also those that make SMSC refuse a whole request, and those whose receipts are lost or disorderly."""
    phones = harness.mixed_phones(400, without=frozenset({91, 96}))
    async with harness.running(tmp_path) as stack:
        await stack.posted(await stack.broadcast(phones))
        await stack.rows_right(seconds=90)
        ledger = await stack.smsc_ledger()
        assert ledger.sent_twice == 0
        assert (await stack.unaccounted())["unaccounted"] == 0
        summary = await stack.control.summary(harness.DOMAIN)
        assert summary.regressions == 0


async def test_a_cascade_of_our_own_falls_back_by_sms(tmp_path: Path) -> None:
    routing = {"channel": "cascade", "viberTimeout": "2s"}
    plan = harness.Plan(profile=Profile.HTTP, spec={"routing": routing})
    async with harness.running(tmp_path, plan) as stack:
        phones = ["+79990000001", "+79990000080", "+79990000085", "+79990000086", "+79990000087"]
        await stack.posted(await stack.broadcast(phones))
        await stack.rows_right(route=Route.CASCADE, profile=Profile.HTTP, seconds=60)
        ledger = await stack.smsc_ledger("http")
        assert ledger.by_channel == {"viber": 5, "sms": 4}
        assert ledger.sent_twice == 0
        assert (await stack.unaccounted())["unaccounted"] == 0


async def test_smsc_s_own_cascade_is_followed_to_its_end(tmp_path: Path) -> None:
    plan = harness.Plan(spec={"routing": {"channel": "cascade", "viberTimeout": "60s"}})
    async with harness.running(tmp_path, plan) as stack:
        phones = ["+79990000001", "+79990000080", "+79990000087", "+79990000099"]
        await stack.posted(await stack.broadcast(phones))
        await stack.rows_right(route=Route.CASCADE, seconds=60)
        ledger = await stack.smsc_ledger()
        assert ledger.by_channel == {"cascade": 4}
        # What was learnt: the numbers that fell back are sent by SMS at once the next time.
        await stack.posted(await stack.broadcast(["+79990000080", "+79990000001"], text="Второе письмо"))
        await stack.rows_right(route=Route.CASCADE, seconds=60)
        assert (await stack.smsc_ledger()).by_channel == {"cascade": 5, "sms": 1}


async def test_two_providers_share_an_account_and_a_portal(tmp_path: Path) -> None:
    """SMSC calls the first one's door for both, and so does the portal with its install event."""
    plans = (harness.Plan(), harness.Plan(name="second", code="smsc-two"))
    async with harness.running(tmp_path, *plans) as stack:
        for number, code in enumerate(("smsc", "smsc-two", "smsc", "smsc-two")):
            order = SendOrder(phone=f"+7999000000{number}", code=code, text=f"Текст {number}")
            await stack.control.send(harness.DOMAIN, order)
        await stack.rows_right(seconds=30)
        ledger = await stack.smsc_ledger()
        assert (ledger.messages, ledger.sent_twice) == (4, 0)
        assert (await stack.unaccounted())["unaccounted"] == 0
