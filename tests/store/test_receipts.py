"""The receipt index and inbox on a real Valkey: matched, repeated, early, without a phone, wrong prefix."""

import pytest

from smsbridge.core.message import Channel
from smsbridge.core.provider import Profile
from smsbridge.store import connection
from smsbridge.store.receipts import AttemptKey, Parked, Receipt, Receipts, ReceiptTimes, Recorded, Submission

ACCOUNT = "a" * 32


def submission(number: int, *, smsc_id: str = "77", own: bool = False, uid: str = "u1") -> Submission:
    key = AttemptKey(uid, f"m{number}", 1, own, "cid", Profile.HTTP, Channel.SMS)
    return Submission(smsc_id, f"7999000000{number}", key)


def receipt(number: int | None, *, smsc_id: str = "77", code: int = 1, ts: int = 100) -> Receipt:
    return Receipt(smsc_id, "" if number is None else f"7999000000{number}", code, err=0, ts=ts, type=0)


async def pass_time(store: connection.Store, *, ms: int = 30) -> None:
    """Of the store's own clock: it waits for a replica that it does not have."""
    await store.redis.execute_command("WAIT", 9, ms)


@pytest.fixture
def box(store: connection.Store) -> Receipts:
    return Receipts(store)


async def test_a_key_survives_the_store() -> None:
    key = AttemptKey("u", "m.1_-", 2, True, "01J", Profile.GUIDE, Channel.VIBER, native_cascade=True)
    assert AttemptKey.parse(key.dump()) == key


async def test_a_receipt_finds_its_attempt(box: Receipts) -> None:
    await box.index(ACCOUNT, [submission(1), submission(2)])
    assert await box.record(ACCOUNT, [receipt(2)]) == Recorded(matched=1)
    [entry] = await box.take(ACCOUNT)
    assert entry.key == submission(2).key
    assert entry.receipt == receipt(2)


async def test_a_receipt_that_was_taken_is_ours_until_its_lease_ends(store: connection.Store) -> None:
    box = Receipts(store, ReceiptTimes(lease_seconds=1.0))
    await box.index(ACCOUNT, [submission(1)])
    await box.record(ACCOUNT, [receipt(1)])
    [first] = await box.take(ACCOUNT)
    assert await box.take(ACCOUNT) == []
    await pass_time(store, ms=1_100)
    [again] = await box.take(ACCOUNT)
    assert again == first
    await box.settle(ACCOUNT, done=[again.entry_id])
    assert await box.depth(ACCOUNT) == (0, 0)


@pytest.mark.parametrize(
    ("second", "result"),
    [
        (receipt(1), Recorded(repeated=1)),
        (receipt(1, code=2), Recorded(matched=1)),
        (receipt(1, ts=101), Recorded(matched=1)),
        (receipt(2), Recorded(matched=1)),
    ],
)
async def test_what_counts_as_a_repeat(box: Receipts, second: Receipt, result: Recorded) -> None:
    await box.index(ACCOUNT, [submission(1), submission(2)])
    await box.record(ACCOUNT, [receipt(1)])
    assert await box.record(ACCOUNT, [second]) == result


async def test_an_early_receipt_is_parked_and_found_by_the_report(box: Receipts) -> None:
    assert await box.record(ACCOUNT, [receipt(1), receipt(2)]) == Recorded(parked=2)
    assert await box.take(ACCOUNT) == []
    assert await box.index(ACCOUNT, [submission(1)]) == 1
    [entry] = await box.take(ACCOUNT)
    assert entry.key == submission(1).key
    assert await box.depth(ACCOUNT) == (1, 1)  # the other one still waits for its report
    assert await box.index(ACCOUNT, [submission(2)]) == 1
    assert (await box.depth(ACCOUNT))[1] == 0


async def test_a_repeated_report_matches_nothing_twice(box: Receipts) -> None:
    await box.record(ACCOUNT, [receipt(1)])
    assert await box.index(ACCOUNT, [submission(1)]) == 1
    assert await box.index(ACCOUNT, [submission(1)]) == 0
    assert len(await box.take(ACCOUNT)) == 1


async def test_a_receipt_of_an_unknown_id_disturbs_nobody(box: Receipts) -> None:
    await box.index(ACCOUNT, [submission(1)])
    assert await box.record(ACCOUNT, [receipt(1, smsc_id="78")]) == Recorded(parked=1)
    assert await box.record("b" * 32, [receipt(1)]) == Recorded(parked=1)
    assert await box.take(ACCOUNT) == []


async def test_a_parked_receipt_is_kept_for_its_time_only(store: connection.Store) -> None:
    box = Receipts(store, ReceiptTimes(parked_seconds=0.02))
    await box.record(ACCOUNT, [receipt(1)])
    await pass_time(store)
    assert await box.index(ACCOUNT, [submission(1)]) == 0


async def test_parked_receipts_are_counted_and_those_that_nobody_ever_knew(store: connection.Store) -> None:
    box = Receipts(store)
    await box.record(ACCOUNT, [receipt(1), receipt(2), receipt(1, smsc_id="78")])
    await box.record("b" * 32, [receipt(1)])
    assert await box.parked() == Parked(waiting=3)
    await box.index(ACCOUNT, [submission(1), submission(2)])
    assert await box.parked() == Parked(waiting=2)
    await pass_time(store)
    hasty = Receipts(store, ReceiptTimes(parked_seconds=0.02))
    assert await hasty.parked() == Parked(unmatched=2)
    await box.record(ACCOUNT, [receipt(1, smsc_id="79")])
    assert await box.parked() == Parked(waiting=1, unmatched=2)


async def test_a_leading_eight_still_finds_its_attempt(box: Receipts) -> None:
    await box.index(ACCOUNT, [submission(1), submission(2)])
    echoed = Receipt("77", "89990000001", 1)
    assert await box.record(ACCOUNT, [echoed]) == Recorded(matched=1)
    [entry] = await box.take(ACCOUNT)
    assert entry.key == submission(1).key


async def test_an_early_receipt_with_a_leading_eight_is_found_too(box: Receipts) -> None:
    await box.record(ACCOUNT, [Receipt("77", "89990000001", 1)])
    assert await box.index(ACCOUNT, [submission(1), submission(2)]) == 1


async def test_without_a_phone_all_attempts_of_the_id_come_along(box: Receipts) -> None:
    await box.index(ACCOUNT, [submission(1), submission(2)])
    assert await box.record(ACCOUNT, [receipt(None)]) == Recorded(matched=1)
    [entry] = await box.take(ACCOUNT)
    assert entry.key is None
    assert {key.message_id for key in entry.members} == {"m1", "m2"}
    assert not entry.ask_only


async def test_a_repeat_without_a_phone_may_only_set_off_a_question(box: Receipts) -> None:
    await box.index(ACCOUNT, [submission(1), submission(2)])
    await box.record(ACCOUNT, [receipt(None)])
    assert await box.record(ACCOUNT, [receipt(None)]) == Recorded(repeated=1)
    assert [entry.ask_only for entry in await box.take(ACCOUNT)] == [False, True]


async def test_a_repeat_of_a_number_s_own_id_is_dropped(box: Receipts) -> None:
    await box.index(ACCOUNT, [submission(1, own=True)])
    assert await box.record(ACCOUNT, [receipt(None), receipt(None)]) == Recorded(matched=1, repeated=1)
    assert len(await box.take(ACCOUNT)) == 1


async def test_one_account_serves_several_providers(box: Receipts) -> None:
    await box.index(ACCOUNT, [submission(1), submission(2, uid="u2")])
    await box.record(ACCOUNT, [receipt(1), receipt(2)])
    assert [entry.key and entry.key.provider_uid for entry in await box.take(ACCOUNT)] == ["u1", "u2"]


async def test_accounts_are_known_also_to_a_new_process(store: connection.Store, box: Receipts) -> None:
    await box.record(ACCOUNT, [receipt(1)])
    assert await Receipts(store).accounts() == {ACCOUNT}


async def test_many_at_once(box: Receipts) -> None:
    many = [
        Submission("77", f"7999{n:07d}", AttemptKey("u1", f"m{n}", 1, False, "c", Profile.HTTP, Channel.SMS))
        for n in range(450)
    ]
    await box.index(ACCOUNT, many)
    said = [Receipt("77", item.msisdn, 1) for item in many]
    assert await box.record(ACCOUNT, said) == Recorded(matched=450)
    assert len(await box.take(ACCOUNT, most=500)) == 450
