"""Every shape of an answer that SMSC is known to give, and what is made of it."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from smsbridge.core import errors as core_errors
from smsbridge.core.provider import Profile
from smsbridge.smsc import errors, reading
from smsbridge.smsc.answers import Accepted, Balance, NumberAnswer, Rejected, StatusAnswer, Unknown

A, B = "79991234567", "79990000000"
OK_A = NumberAnswer()

SENDS = [
    # 3.4: numbers or strings, with and without price
    ('{"id":1234,"cnt":1}', Accepted("1234", 1)),
    ('{"id":"01JABC","cnt":"2"}', Accepted("01JABC", 2)),
    ('\ufeff {"id":1234}', Unknown("unparsable")),  # the client strips a byte order mark, not this
    ('{"id":1234}', Accepted("1234", 0)),
    ('{"id":1,"cnt":1,"cost":"1.40"}', Accepted("1", 1, Decimal("1.40"))),
    ('{"id":1,"cnt":1,"cost":"1,40","balance":100.50}', Accepted("1", 1, Decimal("1.40"), Decimal("100.50"))),
    ('{"id":1,"cnt":1,"cost":"","balance":null}', Accepted("1", 1)),
    ("OK - 2 SMS, ID - 1234", Accepted("1234", 2)),
    # 3.4, op=1
    (
        '{"id":1234,"cnt":2,"cost":"8.20","balance":"90.30","phones":['
        '{"phone":"79991234567","mccmnc":"25001","cost":"4.10"},'
        '{"phone":"79990000000","mccmnc":"25002","status":"23","error":"253"}]}',
        Accepted(
            "1234",
            2,
            Decimal("8.20"),
            Decimal("90.30"),
            {
                A: NumberAnswer(cost=Decimal("4.10")),
                B: NumberAnswer(refused=True, status=23, err=253),
            },
        ),
    ),
    # profile guide: an id per number
    (
        '{"id":1,"cnt":2,"phones":[{"phone":"79991234567","id":11},{"phone":"79990000000","id":"12"}]}',
        Accepted("1", 2, numbers={A: NumberAnswer("11"), B: NumberAnswer("12")}),
    ),
    # numbers are compared by digits; one that was corrected is found again
    (
        '{"id":1,"cnt":2,"phones":[{"phone":"+7 999 123-45-67"},{"phone":"89990000000"}]}',
        Accepted("1", 2, numbers={A: OK_A, B: OK_A}),
    ),
    # missing members: only where phones[] came
    (
        '{"id":1,"cnt":1,"phones":[{"phone":"79991234567"}]}',
        Accepted("1", 1, numbers={A: OK_A}, missing=(B,)),
    ),
    ('{"id":1,"cnt":1,"phones":[]}', Accepted("1", 1, missing=(A, B))),
    ('{"id":1,"cnt":1,"phones":""}', Accepted("1", 1)),
    ('{"id":1,"cnt":1,"phones":[7,null,{"x":1}]}', Accepted("1", 1, missing=(A, B))),
    (
        '{"id":1,"cnt":2,"phones":{"0":{"phone":79991234567},"2":{"phone":"79990000000"}}}',
        Accepted("1", 2, numbers={A: OK_A, B: OK_A}),
    ),
    # a stranger that could be nobody, or that two entries claim
    (
        '{"id":1,"cnt":1,"phones":[{"phone":"79991234567"},{"phone":"380501112233"}]}',
        Accepted("1", 1, numbers={A: OK_A}, missing=(B,)),
    ),
    (
        '{"id":1,"cnt":1,"phones":[{"phone":"79991234567"},{"phone":"89990000000"},{"phone":"9990000000"}]}',
        Accepted("1", 1, numbers={A: OK_A}, missing=(B,)),
    ),
    # of two entries for one number the accepted one counts
    (
        '{"id":1,"phones":[{"phone":"79990000000","status":"23"},{"phone":"79990000000"},{"phone":"79991234567"}]}',
        Accepted("1", 0, numbers={A: OK_A, B: OK_A}),
    ),
    # 3.5
    ('{"error":"authorise error","error_code":2}', Rejected(2, "authorise error")),
    ('{"error":"invalid number","error_code":7,"id":175}', Rejected(7, "invalid number", "175")),
    ('{"error":"no money","error_code":"3","id":"01J"}', Rejected(3, "no money", "01J")),
    (
        '{"error":"duplicate request, wait a minute","error_code":9}',
        Rejected(9, "duplicate request, wait a minute"),
    ),
    ('{"error":"something new","error_code":77}', Rejected(77, "something new")),
    ('{"error_code":1}', Rejected(1, "")),
    ("ERROR = 2 (authorise error)", Rejected(2, "authorise error")),
    ("ERROR = 3 (no money), ID - 275\n", Rejected(3, "no money", "275")),
    # what is no answer
    ("", Unknown("empty")),
    (" \r\n", Unknown("empty")),
    ("<html><body>502</body></html>", Unknown("html")),
    ("OK", Unknown("unparsable")),
    ("1234,1", Unknown("unparsable")),
    ("[]", Unknown("unparsable")),
    ("null", Unknown("unparsable")),
    ("{}", Unknown("unparsable")),
    ('{"cnt":1}', Unknown("unparsable")),
    ('{"id":"","cnt":1}', Unknown("unparsable")),
    ('{"id":true,"cnt":1}', Unknown("unparsable")),
    ('{"id":{},"cnt":1}', Unknown("unparsable")),
    ('{"error":"x"}', Unknown("unparsable")),
    ('{"id":5,"error":"x"}', Unknown("unparsable")),
    ('{"id":5,"cnt":1', Unknown("unparsable")),
    ('{"id":NaN}', Unknown("unparsable")),
    ("[" * 100_000, Unknown("unparsable")),
]


@pytest.mark.parametrize(("text", "answer"), SENDS)
@pytest.mark.parametrize("profile", list(Profile))
def test_send(profile, text, answer):
    assert reading.read_send(profile, text, (A, B)) == answer


REFUSALS = [
    # profile, status, error, refused
    (Profile.HTTP, '"23"', '"253"', True),
    (Profile.HTTP, '"22"', '"249"', True),
    (Profile.HTTP, "20", "1", True),
    (Profile.HTTP, '"23"', '""', True),
    (Profile.HTTP, '"24"', "null", True),
    (Profile.HTTP, '""', '"7777"', True),
    (Profile.HTTP, '"0"', '"0"', False),
    (Profile.HTTP, '"-1"', '""', False),
    (Profile.HTTP, '"1"', '"200"', False),  # test mode is a condition of the account, no refusal
    (Profile.HTTP, '"0"', '"245"', False),
    (Profile.HTTP, '"6"', '""', False),  # an unknown status is no failure
    (Profile.HTTP, '""', '""', False),
    (Profile.GUIDE, '"23"', '"253"', True),
    (Profile.GUIDE, '"23"', '""', True),  # the guide has no 23: errors have the published shape
    (Profile.GUIDE, '"2"', '""', True),
    (Profile.GUIDE, '"20"', '""', False),
    (Profile.GUIDE, '"22"', '""', False),
    (Profile.GUIDE, '"0"', '""', False),
]


@pytest.mark.parametrize(("profile", "status", "error", "refused"), REFUSALS)
def test_which_members_are_refused(profile, status, error, refused):
    text = f'{{"id":1,"cnt":1,"phones":[{{"phone":"{A}","status":{status},"error":{error}}}]}}'
    answer = reading.read_send(profile, text, (A,))
    assert isinstance(answer, Accepted)
    assert answer.numbers[A].refused is refused


@pytest.mark.parametrize(
    ("answer", "duplicate", "too_many"),
    [
        (Rejected(9, "duplicate request, wait a minute"), True, False),
        (Rejected(9, "too many connections"), False, True),
        (Rejected(7, "duplicate"), False, False),
    ],
)
def test_the_two_meanings_of_code_9(answer, duplicate, too_many):
    assert (answer.is_duplicate, answer.is_too_many) == (duplicate, too_many)


def test_an_error_text_is_cut_to_a_reasonable_length():
    answer = reading.read_send(Profile.HTTP, '{"error":"%s","error_code":1}' % ("x" * 5000), (A,))
    assert answer == Rejected(1, "x" * 200)


AT = datetime(2019, 12, 28, 16, 20, 22, tzinfo=UTC)
DELIVERED = '{"status":1,"last_date":"28.12.2019 19:20:22","last_timestamp":1577550022%s}'

STATUSES = [
    # 6.3: the single form, which names neither id nor phone, and a delivered SMS without `err`
    (DELIVERED % "", [("7", A)], [StatusAnswer("7", A, 1, None, AT)]),
    (DELIVERED % ',"err":0', [("7", A)], [StatusAnswer("7", A, 1, 0, AT)]),
    (
        "[" + DELIVERED % ',"id":7,"phone":"79991234567"' + "]",
        [("7", A)],
        [StatusAnswer("7", A, 1, None, AT)],
    ),
    ('[{"status":-3,"id":138,"phone":"89990000001"}]', [("138", "89990000001")], None),
    (
        '[{"status":"20","err":"1","id":"7","phone":"79990000000","cost":"4,10"},'
        '{"status":0,"last_timestamp":0,"id":7,"phone":"+79991234567"}]',
        [("7", A), ("7", B)],
        [StatusAnswer("7", A, 0), StatusAnswer("7", B, 20, 1, None, Decimal("4.10"))],
    ),
    # 4.1: a look-up's fields, texts as they are
    (
        '{"status":1,"last_timestamp":1577550022,"err":0,"imsi":"250011234567890","msc":"","mcc":"250",'
        '"mnc":"01","cn":"Russia","net":"MTS","rcn":"","rnet":".","country":"Россия","message":"secret"}',
        [("7", A)],
        [
            StatusAnswer(
                "7",
                A,
                1,
                0,
                AT,
                None,
                {
                    "imsi": "250011234567890",
                    "msc": "",
                    "mcc": "250",
                    "mnc": "01",
                    "cn": "Russia",
                    "net": "MTS",
                    "rcn": "",
                    "rnet": ".",
                    "country": "Россия",
                },
            )
        ],
    ),
]


@pytest.mark.parametrize(("text", "pairs", "answers"), STATUSES)
def test_status(text, pairs, answers):
    expected = answers or [StatusAnswer("138", "89990000001", -3)]
    assert reading.read_statuses(text, pairs) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("OK", "unparsable"),
        ("<html>", "html"),
        ("null", "unparsable"),
        ("[]", "short"),
        ("{}", "short"),
        ('[{"status":1,"id":7,"phone":"79991234567"}]', "short"),
        (
            '[{"status":1,"id":7,"phone":"79991234567"},{"status":1,"id":8,"phone":"79990000000"}]',
            "short",
        ),
        (
            '[{"status":1,"id":7,"phone":"79991234567"},{"status":"?","id":7,"phone":"79990000000"}]',
            "short",
        ),
        ('[{"status":1},{"status":1}]', "short"),  # by their order alone nothing is taken
    ],
)
def test_a_status_answer_that_does_not_speak_of_every_pair_is_none(text, reason):
    with pytest.raises(errors.SmscAway) as away:
        reading.read_statuses(text, [("7", A), ("7", B)])
    assert away.value.reason == reason
    assert isinstance(away.value, core_errors.Away)
    assert away.value.retryable


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"error":"duplicate request, wait a minute","error_code":9}', 9),
        ('{"error":"authorise error","error_code":"2"}', 2),
        ("ERROR = 4 (ip is blocked)", 4),
    ],
)
@pytest.mark.parametrize(
    "read", [reading.read_balance, reading.read_cost, lambda text: reading.read_statuses(text, [("7", A)])]
)
def test_an_error_code_in_answer_to_a_question(read, text, code):
    with pytest.raises(errors.SmscRejected) as refusal:
        read(text)
    assert refusal.value.error_code == code
    assert refusal.value.text not in refusal.value.sentence
    assert isinstance(refusal.value, core_errors.Refused)


@pytest.mark.parametrize(
    ("text", "balance"),
    [
        ('{"balance":"178.10"}', Balance(Decimal("178.10"))),
        ('{"balance":"178,10","currency":"RUR"}', Balance(Decimal("178.10"), "RUR")),
        ('{"balance":178.1,"credit":"50"}', Balance(Decimal("178.1"), "", Decimal("50"))),
        ('{"balance":-3}', Balance(Decimal("-3"))),
    ],
)
def test_balance(text, balance):
    assert reading.read_balance(text) == balance


@pytest.mark.parametrize(
    "text", ["178.10", '{"balance":"much"}', '{"balance":"NaN"}', '{"balance":true}', "[]"]
)
@pytest.mark.parametrize("read", [reading.read_balance, reading.read_cost])
def test_an_amount_that_cannot_be_read(read, text):
    with pytest.raises(errors.SmscAway) as away:
        read(text)
    assert away.value.reason == "unparsable"


def test_cost():
    assert reading.read_cost('{"cost":"1.40","cnt":1}') == Decimal("1.40")
