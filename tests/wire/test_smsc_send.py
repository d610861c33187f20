"""A send against a server that misbehaves: what leaves us, and what each silence or answer is called."""

import asyncio
import contextlib
from urllib.parse import parse_qsl

import pytest

from smsbridge.core.provider import Profile
from smsbridge.smsc.answers import Accepted, Rejected, Unknown, Unsent
from smsbridge.smsc.client import ClientSettings
from tests.wire.smsc_server import (
    CHUNKED,
    OK,
    PHONE,
    account,
    answer,
    closed_port,
    connected,
    dribble,
    form,
    hang_up,
    raw,
    reset,
    running,
    self_signed,
    silence,
)

ACCEPTED = Accepted("01J", 1)
SENDS = [
    ("accepted", answer(OK), ACCEPTED),
    ("byte order mark", answer(b"\xef\xbb\xbf" + OK), ACCEPTED),
    ("any content type", answer(OK, head="Content-Type: text/html\r\n"), ACCEPTED),
    ("chunked", raw(CHUNKED + b"14\r\n" + OK + b"\r\n0\r\n\r\n"), ACCEPTED),
    ("until close", raw(b"HTTP/1.1 200 OK\r\n\r\n" + OK), ACCEPTED),
    ("error in a 200", answer(b'{"error":"no money","error_code":3,"id":7}'), Rejected(3, "no money", "7")),
    ("plain error", answer(b"ERROR = 2 (authorise error)"), Rejected(2, "authorise error")),
    ("error in windows-1251", answer('{"error":"нет","error_code":1}'.encode("cp1251")), Rejected(1, "нет")),
    ("unknown error", answer(b'{"error":"new","error_code":77}'), Rejected(77, "new")),
    ("502", answer(b"<html>", status="502 Bad Gateway"), Unknown("http_502")),
    ("503 with an answer", answer(OK, status="503 Service Unavailable"), Unknown("http_503")),
    ("403", answer(b"", status="403 Forbidden"), Unknown("http_403")),
    ("302", answer(b"", status="302 Found", head="Location: /sys/other.php\r\n"), Unknown("redirect")),
    ("307", answer(b"", status="307 Temporary", head="Location: /sys/other.php\r\n"), Unknown("redirect")),
    ("html", answer(b"<html>maintenance</html>"), Unknown("html")),
    ("empty", answer(b""), Unknown("empty")),
    ("no JSON", answer(b"something else"), Unknown("unparsable")),
    ("no HTTP", raw(b"HELLO\r\n\r\n"), Unknown("unparsable")),
    ("cut short", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + OK), Unknown("reset")),
    ("reset", reset, Unknown("reset")),
    ("hung up", hang_up, Unknown("reset")),
    ("too long", answer(b" " * 5000 + OK), Unknown("too_long")),
]


@pytest.mark.parametrize(("behaviour", "expected"), [row[1:] for row in SENDS], ids=[row[0] for row in SENDS])
async def test_what_each_answer_to_a_send_is(behaviour, expected):
    async with running(behaviour) as far, connected(max_answer_bytes=4096) as client:
        to = account(far.url)
        assert await client.send(to, form(to)) == expected
        assert len(far.requests) == 1  # never repeated, never redirected


@pytest.mark.parametrize("behaviour", [silence, dribble])
async def test_a_send_that_is_not_answered_in_time_is_unknown(behaviour):
    async with running(behaviour) as far, connected(total_timeout_seconds=0.3) as client:
        to = account(far.url)
        assert await client.send(to, form(to)) == Unknown("timeout")
        assert len(far.requests) == 1


async def test_a_send_is_a_post_with_everything_in_its_body():
    async with running(answer(OK)) as far, connected() as client:
        to = account(far.url)
        assert await client.send(to, form(to)) == ACCEPTED
    line, headers, body = far.requests[0]
    assert line == "POST /sys/send.php HTTP/1.1"
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert body.startswith(form(to))
    assert parse_qsl(body.decode(), encoding="utf-8", errors="strict") == [
        ("id", "01J"),
        ("phones", PHONE),
        ("mes", "Привет"),
        ("fmt", "3"),
        ("op", "1"),
        ("charset", "utf-8"),
        ("sender", "ACME"),
        ("login", "acme"),
        ("psw", "secret-word"),
    ]


async def test_nothing_leaves_us_where_nobody_listens():
    calls = []
    async with connected() as client:
        to = account(f"http://127.0.0.1:{closed_port()}")
        answered = await client.send(to, form(to), before_first_byte=lambda: calls.append(1))
    assert answered == Unsent("connect_refused")
    assert calls == []


async def test_a_name_that_does_not_resolve():
    async with connected() as client:
        to = account("http://" + "a" * 64 + ".invalid")
        assert await client.send(to, form(to)) == Unsent("url")


async def test_no_tls_on_the_other_side():
    async def plain(reader, writer):
        writer.write(b"220 something else\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server, connected() as client:
        to = account(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert await client.send(to, form(to)) == Unsent("tls")


async def test_a_certificate_that_nobody_vouches_for(tmp_path):
    async with running(answer(OK), tls=self_signed(tmp_path)) as far, connected() as client:
        to = account(far.url.replace("http:", "https:"))
        assert await client.send(to, form(to)) == Unsent("tls")
    assert far.requests == []


@pytest.mark.parametrize("settings", [{"connect_timeout_seconds": 0.2}, {"total_timeout_seconds": 0.2}])
async def test_a_handshake_that_does_not_end_is_no_send(settings):
    async with running(silence) as far, connected(**settings) as client:
        to = account(far.url.replace("http:", "https:"))
        assert await client.send(to, form(to)) == Unsent("connect_timeout")


async def test_whoever_looks_at_the_clock_last_can_stop_a_send():
    def late():
        raise RuntimeError("the lease is over")

    async with running(answer(OK)) as far, connected() as client:
        to = account(far.url)
        assert await client.send(to, form(to), before_first_byte=late) == Unsent("aborted")
        assert far.requests == []
        calls = []
        assert await client.send(to, form(to), before_first_byte=lambda: calls.append(1)) == ACCEPTED
        assert calls == [1]
        assert await client.send(to, form(to), before_first_byte=late) == Unsent(
            "aborted"
        )  # a kept connection
        assert len(far.requests) == 1


async def test_a_connection_is_kept():
    async with running(answer(OK)) as far, connected() as client:
        to = account(far.url)
        assert [await client.send(to, form(to)) for _ in range(3)] == [ACCEPTED] * 3
        assert far.connections == 1


async def test_a_kept_connection_that_breaks_under_a_request_is_not_used_again_for_it():
    async with running(answer(OK), hang_up, answer(OK)) as far, connected() as client:
        to = account(far.url)
        assert await client.send(to, form(to)) == ACCEPTED
        assert await client.send(to, form(to)) == Unknown("reset")
        assert (len(far.requests), far.connections) == (2, 1)


async def test_a_kept_connection_that_was_closed_meanwhile_is_replaced():
    async def answer_and_close(writer):
        await answer(OK)(writer)
        writer.close()

    async with running(answer_and_close) as far, connected() as client:
        to = account(far.url)
        assert await client.send(to, form(to)) == ACCEPTED
        await asyncio.sleep(0.05)  # until the end of the connection has come
        assert await client.send(to, form(to)) == ACCEPTED
        assert far.connections == 2


async def test_when_time_is_up_the_connection_is_reset_so_that_nothing_is_sent_again_by_the_kernel():
    ended = asyncio.get_running_loop().create_future()

    async def take_and_wait(reader, writer):
        await reader.readuntil(b"psw=secret-word")
        try:
            ended.set_result(await reader.read())
        except ConnectionResetError:
            ended.set_result("reset")
        writer.close()

    server = await asyncio.start_server(take_and_wait, "127.0.0.1", 0)
    async with server, connected(total_timeout_seconds=0.2) as client:
        to = account(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert await client.send(to, form(to)) == Unknown("timeout")
        assert await asyncio.wait_for(ended, 5) == "reset"


@pytest.mark.filterwarnings("ignore:Sending a large body")
async def test_what_is_unsent_when_time_is_up_never_arrives():
    body = form(account("http://127.0.0.1"), text="x") + b"&padding=" + b"x" * 8_000_000
    timed_out, taken = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def read_late(reader, writer):
        await timed_out.wait()
        received = 0
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65536):
                received += len(chunk)
        writer.close()
        taken.set_result(received)

    server = await asyncio.start_server(read_late, "127.0.0.1", 0, limit=1024)
    async with server, connected(total_timeout_seconds=0.3) as client:
        to = account(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert await client.send(to, body) == Unknown("timeout")
        timed_out.set()
        assert await asyncio.wait_for(taken, 5) < len(body)


@pytest.mark.parametrize(
    ("profile", "first", "expected", "used"),
    [
        (Profile.HTTP, None, ACCEPTED, 1),  # refused: nothing left us, so another host may be tried
        (Profile.GUIDE, None, Unsent("connect_refused"), 0),
        (Profile.HTTP, reset, Unknown("reset"), 0),
        (Profile.HTTP, answer(b"", status="502 Bad Gateway"), Unknown("http_502"), 0),
        (Profile.HTTP, answer(b'{"error":"x","error_code":4}'), Rejected(4, "x"), 0),
    ],
)
async def test_when_a_backup_host_is_tried(profile, first, expected, used):
    async with running(first or silence) as main, running(answer(OK)) as backup:
        url = main.url if first else f"http://127.0.0.1:{closed_port()}"
        async with connected(backup_hosts={url: (backup.url,)}) as client:
            to = account(url, profile)
            assert await client.send(to, form(to)) == expected
        assert len(backup.requests) == used


async def test_a_stopped_send_tries_no_backup_host():
    def late():
        raise RuntimeError("the lease is over")

    async with running(answer(OK)) as main, running(answer(OK)) as backup:
        async with connected(backup_hosts={main.url: (backup.url,)}) as client:
            to = account(main.url, Profile.HTTP)
            assert await client.send(to, form(to), before_first_byte=late) == Unsent("aborted")
        assert (main.requests, backup.requests) == ([], [])


def test_the_only_backup_host_by_default_is_the_documented_one():
    assert ClientSettings().backup_hosts == {"https://smsc.ru": ("https://www2.smsc.ru",)}
