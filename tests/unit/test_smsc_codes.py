"""Every code of both profiles, every delivery error and every error of send.php, one row each."""

from dataclasses import replace

import pytest

from smsbridge.core.delivery import AttemptState as State
from smsbridge.core.message import Channel, Reason
from smsbridge.core.provider import Profile
from smsbridge.smsc import codes, err_codes
from smsbridge.smsc.codes import Action
from smsbridge.smsc.err_codes import ErrClass

SMS, VIBER = Channel.SMS, Channel.VIBER

# code: (state, reason, flags that are set)
HTTP = {
    -3: (None, None, {"not_found"}),
    -2: (State.SENT, None, {"pending"}),
    -1: (State.SENT, None, {"pending"}),
    0: (State.SENT, None, {"pending"}),
    1: (State.DELIVERED, None, set()),
    2: (State.DELIVERED, None, {"read"}),
    3: (State.UNDELIVERED, Reason.NOT_DELIVERED_IN_TIME, set()),
    4: (State.DELIVERED, None, {"read"}),
    20: (State.UNDELIVERED, Reason.NOT_DELIVERED, set()),
    22: (State.FAILED, Reason.NUMBER_REFUSED, set()),
    23: (State.FORBIDDEN, Reason.FORBIDDEN, {"grace"}),
    24: (State.FAILED, Reason.NO_MONEY, {"no_money"}),
    25: (State.UNDELIVERED, Reason.CANNOT_DELIVER, set()),
}
GUIDE = {
    -3: (None, None, {"not_found"}),
    -1: (State.SENT, None, {"pending"}),
    0: (State.SENT, None, {"pending"}),
    1: (State.DELIVERED, None, set()),
    2: (State.UNDELIVERED, Reason.NOT_DELIVERED, set()),
    3: (State.UNDELIVERED, Reason.NOT_DELIVERED_IN_TIME, set()),
    20: (State.DELIVERED, None, set()),
    22: (State.SENT, None, {"pending", "fell_back"}),
}
FLAGS = {"pending", "read", "fell_back", "grace", "no_money", "not_found", "test_mode"}


def flags(reading: codes.Reading) -> set[str]:
    return {name for name in FLAGS if getattr(reading, name)}


@pytest.mark.parametrize(("code", "expected"), HTTP.items())
def test_http_status(code, expected):
    reading = codes.read_status(Profile.HTTP, code, None, SMS)
    assert (reading.state, reading.reason, flags(reading)) == expected
    assert reading.known
    assert reading.delivered_by is (SMS if reading.state is State.DELIVERED else None)


@pytest.mark.parametrize(("code", "expected"), GUIDE.items())
def test_guide_status(code, expected):
    reading = codes.read_status(Profile.GUIDE, code, None, VIBER)
    assert (reading.state, reading.reason, flags(reading)) == expected
    assert reading.known


def test_the_tables_have_no_other_rows():
    assert set(codes.STATUSES[Profile.HTTP]) == set(HTTP)
    assert set(codes.STATUSES[Profile.GUIDE]) == set(GUIDE)


@pytest.mark.parametrize(
    ("profile", "code"),
    [(Profile.HTTP, code) for code in (-4, 5, 6, 21, 26, 999)]
    + [(Profile.GUIDE, code) for code in (-2, 4, 6, 23, 24, 25)],
)
def test_an_unknown_status_is_an_answer_without_a_state(profile, code):
    reading = codes.read_status(profile, code, 1, SMS)
    assert (reading.state, reading.known, reading.reason, flags(reading)) == (None, False, None, set())


@pytest.mark.parametrize(
    ("profile", "code", "channel", "delivered_by"),
    [
        (Profile.HTTP, 1, VIBER, VIBER),
        (Profile.HTTP, 2, VIBER, VIBER),
        (Profile.HTTP, 1, None, None),
        (Profile.GUIDE, 1, SMS, SMS),
        (Profile.GUIDE, 1, VIBER, None),  # by Viber, or by SMS after a fallback: the code does not tell
        (Profile.GUIDE, 20, VIBER, VIBER),
        (Profile.GUIDE, 20, SMS, VIBER),
    ],
)
def test_by_which_channel(profile, code, channel, delivered_by):
    assert codes.read_status(profile, code, None, channel).delivered_by is delivered_by


# err: (class, reason it gives to status 20)
ERRS = {
    0: (ErrClass.OK, Reason.NOT_DELIVERED),
    1: (ErrClass.NUMBER, Reason.CANNOT_DELIVER),
    6: (ErrClass.TEMPORARY, Reason.NOT_DELIVERED),
    11: (ErrClass.NUMBER, Reason.NOT_DELIVERED),
    12: (ErrClass.TEMPORARY, Reason.NOT_DELIVERED),
    13: (ErrClass.NUMBER, Reason.NOT_DELIVERED),
    21: (ErrClass.CHANNEL, Reason.NOT_DELIVERED),
    200: (ErrClass.TEST, Reason.OUTCOME_UNKNOWN),
    219: (ErrClass.TEMPORARY, Reason.NOT_DELIVERED),
    220: (ErrClass.TEMPORARY, Reason.NOT_DELIVERED),
    237: (ErrClass.VOICE, Reason.NOT_DELIVERED),
    238: (ErrClass.TEXT, Reason.TEXT_DENIED),
    239: (ErrClass.ACCOUNT, Reason.FORBIDDEN),
    240: (ErrClass.VOICE, Reason.NOT_DELIVERED),
    241: (ErrClass.MESSAGE, Reason.NOT_DELIVERED),
    242: (ErrClass.VOICE, Reason.NOT_DELIVERED),
    243: (ErrClass.ACCOUNT, Reason.FORBIDDEN),
    244: (ErrClass.TEXT, Reason.TEXT_DENIED),
    245: (ErrClass.UNKNOWN, Reason.OUTCOME_UNKNOWN),
    246: (ErrClass.ACCOUNT, Reason.FORBIDDEN),
    247: (ErrClass.ACCOUNT, Reason.FORBIDDEN),
    248: (ErrClass.NUMBER, Reason.CANNOT_DELIVER),
    249: (ErrClass.NUMBER, Reason.NUMBER_REFUSED),
    250: (ErrClass.NUMBER, Reason.FORBIDDEN),
    251: (ErrClass.TEMPORARY, Reason.FORBIDDEN),
    252: (ErrClass.NUMBER, Reason.FORBIDDEN),
    253: (ErrClass.TEXT, Reason.FORBIDDEN),
    254: (ErrClass.SENDER, Reason.TEXT_DENIED),
    255: (ErrClass.NUMBER, Reason.NOT_DELIVERED),
    7777: (ErrClass.UNLISTED, Reason.NOT_DELIVERED),
}


@pytest.mark.parametrize(("err", "expected"), ERRS.items())
def test_delivery_error(err, expected):
    assert (err_codes.read_err(err).cls, codes.read_status(Profile.HTTP, 20, err, SMS).reason) == expected


def test_the_table_of_delivery_errors_has_no_other_rows():
    assert set(err_codes.ERR) == set(ERRS) - {7777}


@pytest.mark.parametrize(
    ("code", "err", "state", "test_mode"),
    [
        (20, 245, State.UNKNOWN, False),
        (3, 245, State.UNKNOWN, False),
        (0, 245, State.UNKNOWN, False),
        (1, 245, State.DELIVERED, False),  # delivered is above everything
        (22, 245, State.FAILED, False),
        (1, 200, State.UNKNOWN, True),  # nothing was sent, so it cannot have been delivered
        (0, 200, State.UNKNOWN, True),
        (20, 200, State.UNKNOWN, True),
        (-3, 200, None, False),
        (1, 0, State.DELIVERED, False),
        (1, 1, State.DELIVERED, False),
        (20, 1, State.UNDELIVERED, False),
    ],
)
def test_errors_that_say_the_status_is_no_proof(code, err, state, test_mode):
    reading = codes.read_status(Profile.HTTP, code, err, SMS)
    assert (reading.state, reading.test_mode) == (state, test_mode)
    assert (reading.reason is Reason.OUTCOME_UNKNOWN) is (state is State.UNKNOWN)
    assert reading.pending is False or state is State.SENT


SEND_ERRORS = {
    1: (Action.FAIL_ALONE, Reason.BAD_REQUEST),
    2: (Action.PAUSE_LOGIN, None),
    3: (Action.PAUSE_MONEY, Reason.NO_MONEY),
    4: (Action.BLOCKED, None),
    5: (Action.FAIL_ALONE, Reason.BAD_REQUEST),
    6: (Action.FAIL_ALONE, Reason.TEXT_DENIED),
    7: (Action.SPLIT, Reason.NUMBER_REFUSED),
    8: (Action.SPLIT, Reason.CANNOT_DELIVER),
    9: (Action.DUPLICATE, Reason.DUPLICATE),
    0: (Action.UNCERTAIN, None),
    10: (Action.UNCERTAIN, None),
    -1: (Action.UNCERTAIN, None),
}


@pytest.mark.parametrize(("code", "expected"), SEND_ERRORS.items())
def test_send_error(code, expected):
    row = codes.read_send_error(code)
    assert (row.action, row.reason) == expected


@pytest.mark.parametrize(
    ("code", "text", "action"),
    [
        (9, "duplicate request, wait a minute", Action.DUPLICATE),
        (9, "Duplicate request", Action.DUPLICATE),
        (9, "too many concurrent requests", Action.BACK_OFF),
        (9, "", Action.BACK_OFF),
        (7, "duplicate", Action.SPLIT),
        (42, "duplicate", Action.UNCERTAIN),
    ],
)
def test_only_the_text_tells_the_two_meanings_of_9(code, text, action):
    assert codes.send_action(code, text) is action


def test_every_row_has_a_meaning_and_a_source():
    rows = [row for table in codes.STATUSES.values() for row in table.values()]
    assert all(row.meaning and row.source for row in [*rows, *codes.SEND_ERRORS.values()])
    assert all(row.meaning for row in err_codes.ERR.values())


def test_readings_are_shared_rows_and_cannot_be_changed():
    reading = codes.read_status(Profile.HTTP, 23, None, SMS)
    with pytest.raises(AttributeError):
        reading.grace = False
    assert replace(reading, grace=False) != codes.read_status(Profile.HTTP, 23, None, SMS)
