"""Every documented error row, of a call and of a command in a batch, and what a status update does then."""

import json

import pytest

from smsbridge.bitrix24 import answers, batch, errors, messageservice, transport
from smsbridge.bitrix24.messageservice import StatusOutcome
from smsbridge.core import errors as core_errors
from smsbridge.core.delivery import PortalStatus

ROWS = [
    # HTTP status, error, our error, what a status update does
    (401, "expired_token", errors.TokenExpired, StatusOutcome.RETRY),
    (401, "NO_AUTH_FOUND", errors.InstallationBroken, StatusOutcome.STOP_PORTAL),
    (401, "invalid_token", errors.InstallationBroken, StatusOutcome.STOP_PORTAL),
    (401, "ERROR_OAUTH", errors.InstallationBroken, StatusOutcome.STOP_PORTAL),
    (401, "authorization_error", errors.InstallationBroken, StatusOutcome.STOP_PORTAL),
    (401, "NOT_INSTALLED", errors.InstallationBroken, StatusOutcome.STOP_PORTAL),
    (401, "APPLICATION_NOT_FOUND", errors.InstallationBroken, StatusOutcome.STOP_PORTAL),
    (401, "PAYMENT_REQUIRED", errors.InstallationBroken, StatusOutcome.STOP_PORTAL),
    (401, "", errors.InstallationBroken, StatusOutcome.STOP_PORTAL),
    (403, "insufficient_scope", errors.InsufficientScope, StatusOutcome.STOP_PORTAL),
    (403, "INVALID_CREDENTIALS", errors.AccessDenied, StatusOutcome.STOP_PORTAL),
    (403, "ACCESS_DENIED", errors.AccessDenied, StatusOutcome.STOP_PORTAL),
    (403, "access_denied", errors.AccessDenied, StatusOutcome.STOP_PORTAL),
    (403, "user_access_error", errors.AccessDenied, StatusOutcome.STOP_PORTAL),
    (403, "WRONG_AUTH_TYPE", errors.AccessDenied, StatusOutcome.STOP_PORTAL),
    (403, "allowed_only_intranet_user", errors.AccessDenied, StatusOutcome.STOP_PORTAL),
    (403, "something_new", errors.AccessDenied, StatusOutcome.STOP_PORTAL),
    (400, "INVALID_REQUEST", errors.PortalRefused, StatusOutcome.REFUSED),
    (404, "ERROR_METHOD_NOT_FOUND", errors.MethodMissing, StatusOutcome.STOP_METHOD),
    (404, "ERROR_MANIFEST_IS_NOT_AVAILABLE", errors.PortalRefused, StatusOutcome.REFUSED),
    (405, "ERROR_BATCH_METHOD_NOT_ALLOWED", errors.PortalRefused, StatusOutcome.REFUSED),
    (400, "ERROR_BATCH_LENGTH_EXCEEDED", errors.PortalRefused, StatusOutcome.RETRY),
    (503, "QUERY_LIMIT_EXCEEDED", errors.RateLimited, StatusOutcome.RETRY),
    (503, "query_limit_exceeded", errors.RateLimited, StatusOutcome.RETRY),
    (503, "OVERLOAD_LIMIT", errors.Overloaded, StatusOutcome.STOP_PORTAL),
    (429, "OPERATION_TIME_LIMIT", errors.OperatingTimeOver, StatusOutcome.STOP_METHOD),
    (429, "", errors.RateLimited, StatusOutcome.RETRY),
    (500, "INTERNAL_SERVER_ERROR", errors.PortalAway, StatusOutcome.RETRY),
    (500, "ERROR_UNEXPECTED_ANSWER", errors.PortalAway, StatusOutcome.RETRY),
    (503, "", errors.PortalAway, StatusOutcome.RETRY),
    (502, "something_new", errors.PortalAway, StatusOutcome.RETRY),
    (500, "PORTAL_DELETED", errors.PortalGone, StatusOutcome.STOP_PORTAL),
    (410, "PORTAL_DELETED", errors.PortalGone, StatusOutcome.STOP_PORTAL),
    # messageservice's own
    (400, "ERROR_SENDER_VALIDATION_FAILURE", errors.PortalRefused, StatusOutcome.REFUSED),
    (400, "ERROR_WRONG_HANDLER_URL", errors.PortalRefused, StatusOutcome.REFUSED),
    (400, "ERROR_UNSUPPORTED_PROTOCOL", errors.PortalRefused, StatusOutcome.REFUSED),
    (400, "ERROR_HANDLER_URL_MATCH", errors.PortalRefused, StatusOutcome.REFUSED),
    (400, "ERROR_SENDER_ALREADY_INSTALLED", errors.PortalRefused, StatusOutcome.REFUSED),
    (400, "ERROR_SENDER_ADD_FAILURE", errors.PortalRefused, StatusOutcome.REFUSED),
    (400, "ERROR_SENDER_CODE_REQUIRED", errors.PortalRefused, StatusOutcome.REFUSED),
    (400, "ERROR_SENDER_OTHER_PARAMS_REQUIRED", errors.PortalRefused, StatusOutcome.REFUSED),
    (400, "ERROR_SENDER_UPDATE_FAILURE", errors.PortalRefused, StatusOutcome.REFUSED),
    (400, "ERROR_SENDER_NOT_FOUND", errors.PortalRefused, StatusOutcome.REFUSED),
    (400, "ERROR_MESSAGE_NOT_FOUND", errors.PortalRefused, StatusOutcome.NOT_FOUND_YET),
    (400, "ERROR_MESSAGE_STATUS_INCORRECT", errors.PortalRefused, StatusOutcome.REFUSED),
    # errors without a name
    (400, "", errors.PortalRefused, StatusOutcome.REFUSED),
    (400, "100", errors.PortalRefused, StatusOutcome.REFUSED),
]
EXPIRED_OR_BY_STATUS = {"", "something_new"}  # inside a batch there is no HTTP status to judge by


def reply(status: int, body: object) -> transport.Reply:
    return transport.Reply(status, json.dumps(body).encode())


@pytest.mark.parametrize(("status", "code", "expected", "outcome"), ROWS)
def test_an_error_answer(
    status: int, code: str, expected: type[errors.PortalError], outcome: StatusOutcome
) -> None:
    body = {"error": code, "error_description": "+79990000000 said no"}
    with pytest.raises(errors.PortalError) as raised:
        answers.read(reply(status, body), method="some.method")
    error = raised.value
    assert type(error) is expected
    assert error.rest_code == code
    assert error.method == "some.method"
    assert error.retryable is issubclass(expected, core_errors.Away)
    assert "7999" not in str(error)
    assert messageservice.classify(error) is outcome


@pytest.mark.parametrize(("status", "code", "expected", "outcome"), ROWS)
def test_the_same_error_of_one_command(
    status: int, code: str, expected: type[errors.PortalError], outcome: StatusOutcome
) -> None:
    if code in EXPIRED_OR_BY_STATUS:
        expected, outcome = errors.PortalRefused, StatusOutcome.REFUSED
    commands = [messageservice.status_command("smsc", "m1", PortalStatus.SENT)]
    body = {"result": [], "result_error": {"m_0": {"error": code, "error_description": "no"}}}
    (result,) = batch.read(body, commands).results
    assert not result.ok
    assert type(result.error) is expected
    assert messageservice.classify(result.error) is outcome


def test_the_code_may_be_a_number() -> None:
    with pytest.raises(errors.PortalRefused) as raised:
        answers.read(reply(400, {"error": 100, "error_description": "Invalid value"}), method="m")
    assert raised.value.rest_code == "100"
    assert raised.value.description == "Invalid value"


def test_a_strangers_code_is_not_repeated() -> None:
    with pytest.raises(errors.PortalRefused) as raised:
        answers.read(reply(400, {"error": "call +79990000000\n"}), method="m")
    assert (
        str(raised.value) == "m answered an unreadable error code with HTTP 400: the portal refused the call"
    )


def test_an_error_with_http_200() -> None:
    with pytest.raises(errors.ClientRefused):
        answers.read(reply(200, {"error": "wrong_client"}), method="oauth/token")


def test_the_operating_limit_tells_when_it_ends() -> None:
    body = {"error": "OPERATION_TIME_LIMIT", "time": {"operating": 480.1, "operating_reset_at": 1742896200}}
    with pytest.raises(errors.OperatingTimeOver) as raised:
        answers.read(reply(429, body), method="m")
    assert raised.value.reset_at == 1742896200
    with pytest.raises(errors.OperatingTimeOver) as silent:
        answers.read(reply(429, {"error": "OPERATION_TIME_LIMIT"}), method="m")
    assert silent.value.reset_at is None


@pytest.mark.parametrize("status", [200, 204, 302, 403, 404, 500, 502])
@pytest.mark.parametrize(
    "body", [b"", b"<html>502 Bad Gateway</html>", b"[]", b"null", b"\xff", b"[" * 100_000]
)
def test_what_is_no_rest_is_away_and_perhaps_done(status: int, body: bytes) -> None:
    with pytest.raises(errors.PortalAway) as raised:
        answers.read(transport.Reply(status, body), method="m")
    assert raised.value.after_first_byte
    assert raised.value.retryable


@pytest.mark.parametrize(("status", "body"), [(200, {}), (200, {"time": {}}), (302, {"result": True})])
def test_an_answer_without_a_result_is_away(status: int, body: object) -> None:
    with pytest.raises(errors.PortalAway):
        answers.read(reply(status, body), method="m")


TIME = {"start": 1742895600, "operating": 0.021, "operating_reset_at": 1742896200}


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"result": True}, answers.Answer(True)),
        ({"result": []}, answers.Answer([])),
        ({"result": None}, answers.Answer(None)),
        ({"result": [1], "next": 50, "total": 120}, answers.Answer([1], next=50, total=120)),
        ({"result": 1, "time": TIME}, answers.Answer(1, answers.Operating("m", 0.021, 1742896200))),
        ({"result": 1, "time": {"operating": 0}}, answers.Answer(1, answers.Operating("m", 0.0, None))),
        ({"result": 1, "time": {"duration": 1}}, answers.Answer(1)),
        ({"result": 1, "time": []}, answers.Answer(1)),
        ({"result": 1, "time": {"operating": "x"}}, answers.Answer(1)),
        ({"result": 1, "next": "50", "total": True}, answers.Answer(1, next=50)),
    ],
)
def test_a_good_answer(body: object, answer: answers.Answer) -> None:
    assert answers.read(reply(200, body), method="m") == answer


def test_phps_maps_and_lists() -> None:
    assert answers.as_map([]) == {}
    assert answers.as_map(["a", "b"]) == {"0": "a", "1": "b"}
    assert answers.as_map({"a": 1}) == {"a": 1}
    assert answers.as_map(None) == {}
    assert answers.as_list({"1": "a", "3": "b"}) == ["a", "b"]
    assert answers.as_list(["a"]) == ["a"]
    assert answers.as_list(None) == []


def commands(*methods: str) -> list[batch.Command]:
    return [batch.Command(method) for method in methods]


def test_commands_are_encoded_once_under_keys_that_are_no_numbers() -> None:
    encoded = batch.encode(
        [
            messageservice.status_command("smsc", "m1", PortalStatus.DELIVERED),
            batch.Command("crm.lead.list", {"filter": {"TITLE": "а#?&+%"}, "select": ["ID"]}),
            batch.Command("user.admin"),
        ]
    )
    assert encoded == {
        "m_0": "messageservice.message.status.update?CODE=smsc&MESSAGE_ID=m1&STATUS=delivered",
        "m_1": "crm.lead.list?filter%5BTITLE%5D=%D0%B0%23%3F%26%2B%25&select%5B0%5D=ID",
        "m_2": "user.admin",
    }


@pytest.mark.parametrize("count", [0, 51])
def test_a_batch_takes_one_to_fifty_commands(count: int) -> None:
    assert len(batch.encode(commands(*["m"] * 50))) == 50
    with pytest.raises(ValueError, match="1 to 50"):
        batch.encode(commands(*["m"] * count))


def test_a_batch_holds_no_batch() -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        batch.encode(commands("batch"))


def test_each_command_has_its_own_result() -> None:
    body = {
        "result": {"m_0": True, "m_2": []},
        "result_error": {
            "m_1": {"error": "ERROR_MESSAGE_NOT_FOUND", "error_description": "Message not found!"}
        },
        "result_total": [],
        "result_next": [],
        "result_time": {
            "m_0": {"operating": 0.1, "operating_reset_at": 10},
            "m_1": {"operating": 0.3, "operating_reset_at": 11},
            "m_2": {"operating": 5, "operating_reset_at": 12},
        },
    }
    answer = batch.read(body, commands("a", "a", "b", "b"))
    first, second, third, fourth = answer.results
    assert (first.ok, first.value) == (True, True)
    assert second.error is not None
    assert second.error.rest_code == "ERROR_MESSAGE_NOT_FOUND"
    assert (third.ok, third.value) == (True, [])
    assert isinstance(fourth.error, errors.PortalAway)
    assert fourth.error.after_first_byte
    assert answer.operating == (answers.Operating("a", 0.3, 11), answers.Operating("b", 5.0, 12))


@pytest.mark.parametrize("body", [[], {}, None, {"result": [], "result_error": []}, {"result": ["x"]}])
def test_an_empty_batch_answer_leaves_every_command_unanswered(body: object) -> None:
    answer = batch.read(body, commands("a", "a"))
    assert [type(result.error) for result in answer.results] == [errors.PortalAway, errors.PortalAway]
    assert answer.operating == ()


def test_a_stopped_method_in_a_batch_tells_until_when() -> None:
    body = {
        "result": [],
        "result_error": {"m_0": {"error": "OPERATION_TIME_LIMIT"}},
        "result_time": {"m_0": {"operating": 481.0, "operating_reset_at": 99}},
    }
    (result,) = batch.read(body, commands("a")).results
    assert isinstance(result.error, errors.OperatingTimeOver)
    assert result.error.reset_at == 99


@pytest.mark.parametrize(("methods", "common"), [(("a", "a"), "a"), (("a", "b"), ""), ((), "")])
def test_the_method_that_all_commands_call(methods: tuple[str, ...], common: str) -> None:
    assert batch.common_method(commands(*methods)) == common


def test_what_is_not_bitrix24s_is_classified_too() -> None:
    assert messageservice.classify(None) is StatusOutcome.OK
    assert messageservice.classify(core_errors.StoreAway("x")) is StatusOutcome.RETRY
    assert messageservice.classify(errors.ClientRefused("x")) is StatusOutcome.STOP_PORTAL
    assert messageservice.classify(errors.GrantRefused("x")) is StatusOutcome.STOP_PORTAL
