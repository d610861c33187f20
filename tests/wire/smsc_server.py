"""A server that answers, misbehaves or is silent as told, and the client and forms to meet it with."""

import asyncio
import contextlib
import datetime
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from smsbridge.core.message import Channel
from smsbridge.core.provider import Profile
from smsbridge.smsc import wire
from smsbridge.smsc.account import Account
from smsbridge.smsc.client import ClientSettings, SmscClient

PHONE = "79991234567"
OK = b'{"id":"01J","cnt":1}'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Far:
    """A server of one behaviour a request; the last one is repeated."""

    behaviours: list[Behaviour]
    port: int = 0
    connections: int = 0
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                line, *rest = head.strip().split("\r\n")
                headers = {name.lower(): value for name, value in (item.split(": ", 1) for item in rest)}
                body = await reader.readexactly(int(headers["content-length"]))
                self.requests.append((line, headers, body))
                await self.behaviours[min(len(self.requests), len(self.behaviours)) - 1](writer)


@contextlib.asynccontextmanager
async def running(*behaviours, tls=None):
    far = Far(list(behaviours))
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        with contextlib.suppress(asyncio.CancelledError):
            await far.serve(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    far.port = server.sockets[0].getsockname()[1]
    try:
        yield far
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def connected(**settings):
    defaults = {"total_timeout_seconds": 5, "connect_timeout_seconds": 2, "status_timeout_seconds": 5}
    client = SmscClient(ClientSettings(**defaults | settings))
    try:
        yield client
    finally:
        await client.close()


def answer(body: bytes, *, status: str = "200 OK", head: str = "") -> Behaviour:
    async def behave(writer):
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body)

    return behave


def raw(data: bytes, *, close: bool = True) -> Behaviour:
    async def behave(writer):
        writer.write(data)
        await writer.drain()
        if close:
            writer.close()

    return behave


async def silence(writer):
    await asyncio.Event().wait()


async def reset(writer):
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def hang_up(writer):
    writer.close()


async def dribble(writer):
    writer.write(CHUNKED)
    while True:
        writer.write(b"1\r\n \r\n")
        await asyncio.sleep(0.05)


def account(url, profile=Profile.GUIDE):
    return Account(base_url=url, profile=profile, login="acme", password="secret-word", sender_id="ACME")


def form(to, text="Привет"):
    return wire.encode(to, wire.SendRequest(client_id="01J", numbers=((PHONE, text),), channel=Channel.SMS))


def closed_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def self_signed(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + cert.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
