"""The portal stand-in: batches, the request limit, operating time."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from smsbridge.sandbox.settings import PortalSettings
from tests.wire import sandbox_portal
from tests.wire.sandbox_portal import CLIENT, DOMAIN, HANDLER, STATUS, Rest, refused, update_command

NOT_FOUND = ("ERROR_MESSAGE_NOT_FOUND", "Message not found!")


@pytest.fixture
async def rest() -> AsyncIterator[Rest]:
    async with sandbox_portal.calling() as rest:
        yield rest


async def test_batch_is_200_with_a_result_or_an_error_for_each_command(rest: Rest) -> None:
    rest.row("m1")
    result = await rest.batch({"m_1": update_command("m1"), "m_2": update_command("none")}, halt=0)
    assert result["result"] == {"m_1": True}
    assert result["result_error"] == {"m_2": refused(*NOT_FOUND)}
    assert (result["result_total"], result["result_next"]) == ([], [])
    assert set(result["result_time"]) == {"m_1"}
    assert result["result_time"]["m_1"]["operating"] == 0.02


BATCHES = [
    # commands, more, result, result_error
    ({}, {}, [], []),
    ({"a": "user.admin"}, {}, {"a": True}, []),
    ({"0": "user.admin", "1": "user.admin"}, {}, [True, True], []),  # numeric keys make a list
    (["user.admin", "no.such"], {}, [True], {"1": refused("ERROR_METHOD_NOT_FOUND", "Method not found!")}),
    ({"1": "user.admin"}, {}, {"1": True}, []),
    (
        {"a": "batch?cmd[x]=user.admin"},
        {},
        [],
        {"a": refused("ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage")},
    ),
    (
        {"a": "no.such", "b": "user.admin"},
        {"halt": "false"},  # the string is true
        [],
        {"a": refused("ERROR_METHOD_NOT_FOUND", "Method not found!")},
    ),
    (
        {"a": "no.such", "b": "user.admin"},
        {"halt": False},
        {"b": True},
        {"a": refused("ERROR_METHOD_NOT_FOUND", "Method not found!")},
    ),
]


@pytest.mark.parametrize(("commands", "more", "result", "errors"), BATCHES)
async def test_batch_shapes(
    rest: Rest, commands: Any, more: dict[str, Any], result: Any, errors: Any
) -> None:
    answer = await rest.batch(commands, **more)
    assert (answer["result"], answer["result_error"]) == (result, errors)


async def test_the_fifty_first_command_fails_alone(rest: Rest) -> None:
    answer = await rest.batch({f"m_{n}": "user.admin" for n in range(51)})
    assert len(answer["result"]) == 50
    assert answer["result_error"] == {
        "m_50": refused("ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded")
    }


async def test_batch_values_are_decoded_once_from_json_and_twice_from_a_form(rest: Rest) -> None:
    name = "10% & + #1? Имя"
    command = f"messageservice.sender.add?CODE={{}}&TYPE=SMS&HANDLER={quote(HANDLER, safe='')}&NAME="
    await rest.batch({"a": command.format("once") + quote(name, safe="")})
    form = {
        "cmd[a]": command.format("form") + quote(name, safe=""),
        "auth": rest.admin.access_token,
    }
    async with rest.session.post(rest.sandbox.portal_url(DOMAIN) + "batch", data=form) as response:
        assert (await response.json())["result"]["result"] == {"a": True}
    assert {code: sender.name for code, sender in rest.application.senders.items()} == {
        "once": name,
        "form": name,
    }
    await rest.batch({"a": command.format("cut") + "before#after"})
    assert rest.application.senders["cut"].name == "before"


async def test_batch_fills_in_earlier_results(rest: Rest) -> None:
    commands = {
        "me": "user.current",
        "bind": f"event.bind?EVENT=ONAPPUPDATE&HANDLER={quote(HANDLER, safe='')}%26u%3D$result[me][ID]",
    }
    assert (await rest.batch(commands))["result"]["bind"] is True
    assert rest.application.bindings[0]["handler"] == HANDLER + "&u=1"


async def test_fifty_requests_then_two_a_second(rest: Rest) -> None:
    too_many = (503, refused("QUERY_LIMIT_EXCEEDED", "Too many requests"))
    portal = rest.portal
    for _ in range(50):
        assert portal.requests.admit("127.0.0.1", rest.sandbox.clock.now())
    assert await rest.call("user.admin") == too_many
    rest.sandbox.clock.advance(1)
    statuses = [(await rest.call("user.admin"))[0] for _ in range(3)]
    assert statuses == [200, 200, 503]
    assert (portal.seen.status_503, portal.seen.errors["QUERY_LIMIT_EXCEEDED"]) == (2, 2)


async def test_operating_time_stops_one_method_until_it_leaves_the_window(rest: Rest) -> None:
    limit = {"enabled": True, "limit_seconds": 0.04, "default_cost_ms": 0}
    changed = PortalSettings.model_validate(rest.portal.settings.model_dump() | {"operating": limit})
    rest.portal.reconfigure(changed)
    rest.row("m1")
    update = {"CODE": "smsc", "MESSAGE_ID": "m1", "STATUS": "delivered"}
    spent = [(await rest.call(STATUS, update))[1]["time"]["operating"] for _ in range(2)]
    assert spent == [0.02, 0.04]
    over = refused("OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.")
    assert await rest.call(STATUS, update) == (429, over)
    answer = await rest.batch({"a": update_command("m1"), "b": "user.admin"})
    assert (answer["result"], answer["result_error"]) == ({"b": True}, {"a": over})
    reset_at = rest.portal.operating.reset_at(CLIENT, STATUS, rest.sandbox.clock.now())
    rest.sandbox.clock.advance(reset_at - rest.sandbox.clock.now())
    assert (await rest.call(STATUS, update))[0] == 200
