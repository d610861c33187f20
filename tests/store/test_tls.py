"""A store with TLS: the bundled server has none, so it stands behind an end of TLS that the test makes."""

import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from smsbridge.runtime import addresses
from smsbridge.store import connection, embedded, servers
from tests.flow import balancer

HOST = "127.0.0.1"


def certificate(directory: Path, name: str) -> Path:
    """A self-signed certificate for the loopback and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(host, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = directory / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return file


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """Settings that lead to a server's end of TLS; its certificate is `own.pem`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path, "own"))
    listen = f"{HOST}:{addresses.free_port(HOST)}"
    async with embedded.running(tmp_path) as valkey:
        one = balancer.Balancer(listen, [f"{HOST}:{valkey.port}"], tls=context)
        await one.start()
        yield {"url": f"valkeys://{listen}/0", "password": valkey.password}
        await one.stop()


async def test_the_certificate_of_the_store_is_checked(front: dict[str, str], tmp_path: Path) -> None:
    certificate(tmp_path, "another")
    for name, good in (("own", True), ("another", False)):
        changed = {**front, "ca_file": str(tmp_path / f"{name}.pem")}
        store = connection.Store.connect(connection.StoreSettings.model_validate(changed))
        try:
            assert (await store.check() == "") is good
        finally:
            await store.close()


@pytest.mark.parametrize("url", ["sentinels://127.0.0.1:1/smsbridge", "clusters://127.0.0.1:1"])
async def test_sentinels_and_clusters_speak_tls_where_their_url_says_so(url: str, tmp_path: Path) -> None:
    """Nobody listens there: what is looked at is that no connection would be made without TLS."""
    settings = connection.StoreSettings(url=url, ca_file=str(certificate(tmp_path, "own")))
    store = connection.Store.connect(settings)
    assert store.replicas == 1
    if isinstance(store.servers, servers.Cluster):
        kwargs = store.redis.get_connection_kwargs()
        assert kwargs["ssl_ca_certs"] == settings.ca_file
    else:
        assert "SSL" in store.redis.connection_pool.connection_class.__name__
    assert await store.check() != ""
    await store.close()
