"""A real Kubernetes API for tests: etcd and kube-apiserver on loopback, in a directory of their own.

What is there: storage, schemas and CEL rules, RBAC, tokens of ServiceAccounts by the TokenRequest API.
What is not: any controller. Nothing makes a namespace's default ServiceAccount, collects garbage, empties a
deleted namespace (it stays Terminating) or starts a pod. Tests make what they need, in their own namespaces.

Both processes die with the test run; they are ended by their pids.
"""

import base64
import contextlib
import http.client
import os
import secrets
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightkube
import yaml
from lightkube.models.authentication_v1 import TokenRequestSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ServiceAccountToken

from smsbridge.runtime import addresses
from tests.operator import certificates

_HOST = "127.0.0.1"
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_LOG_LINES = 20
_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"], "resources": [{"group": ""}]},
        {
            "level": "Metadata",
            "userGroups": ["system:serviceaccounts"],
            "resources": [{"group": "smsbridge.dev"}],
        },
        {"level": "None"},
    ],
}


@dataclass(frozen=True, slots=True)
class ApiServer:
    url: str
    authority: Path  # the certificate that its own is signed with
    kubeconfig: Path  # of an administrator
    audit: Path  # one JSON line for each request that ServiceAccounts made
    admin_token: str = field(repr=False)

    def kubeconfig_for(self, token: str, path: Path) -> Path:
        """Writes a file with which `token`'s owner, and nobody else, speaks to the server."""
        authority = base64.b64encode(self.authority.read_bytes()).decode()
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "test", "cluster": {"server": self.url, "certificate-authority-data": authority}}
            ],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path

    def client(self, kubeconfig: Path | None = None) -> lightkube.Client:
        """Of the administrator, or of whoever `kubeconfig` names."""
        config = lightkube.KubeConfig.from_file(kubeconfig or self.kubeconfig)
        return lightkube.Client(config=config, field_manager="tests", trust_env=False)

    def token_of(self, account: str, namespace: str, *, seconds: int = 3600) -> str:
        """A token of an existing ServiceAccount, as a pod of it would get."""
        spec = TokenRequestSpec(audiences=[], expirationSeconds=seconds)
        request = ServiceAccountToken(metadata=ObjectMeta(), spec=spec)
        made: Any = self.client().create(request, account, namespace=namespace)
        return str(made.status.token)


@contextlib.contextmanager
def running(binaries: Path, directory: Path) -> Iterator[ApiServer]:
    """Comes when the server is ready, in about four seconds; else fails with the end of its log."""
    files = certificates.write(directory)
    ports: set[int] = set()
    while len(ports) < 3:
        ports.add(addresses.free_port(_HOST, taken=frozenset(ports)))
    client_port, peer_port, api_port = ports
    token = secrets.token_hex(16)
    tokens = directory / "tokens.csv"
    tokens.touch(mode=0o600)
    tokens.write_text(f"{token},admin,admin,system:masters\n", encoding="ascii")
    etcd = _etcd(binaries, directory, client_port=client_port, peer_port=peer_port)
    (directory / "audit-policy.yaml").write_text(yaml.safe_dump(_AUDIT), encoding="utf-8")
    api = _api(binaries, directory, files, tokens=tokens, etcd_port=client_port, port=api_port)
    server = ApiServer(
        f"https://{_HOST}:{api_port}",
        files.authority,
        directory / "admin.kubeconfig",
        directory / "audit.log",
        token,
    )
    server.kubeconfig_for(token, server.kubeconfig)
    with _process(directory / "etcd.log", etcd), _process(directory / "kube-apiserver.log", api) as process:
        _wait(process, server, port=api_port, log=directory / "kube-apiserver.log")
        yield server


def _etcd(binaries: Path, directory: Path, *, client_port: int, peer_port: int) -> list[str]:
    client, peer = f"http://{_HOST}:{client_port}", f"http://{_HOST}:{peer_port}"
    return [
        str(binaries / "etcd"), "--data-dir", str(directory / "etcd"), "--unsafe-no-fsync",
        "--log-level", "error", "--listen-client-urls", client, "--advertise-client-urls", client,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
        "--initial-cluster", f"default={peer}",
    ]  # fmt: skip


def _api(
    binaries: Path, directory: Path, files: certificates.Files, *, tokens: Path, etcd_port: int, port: int
) -> list[str]:
    return [
        str(binaries / "kube-apiserver"), "--etcd-servers", f"http://{_HOST}:{etcd_port}",
        "--bind-address", _HOST, "--advertise-address", _HOST, "--secure-port", str(port),
        "--cert-dir", str(directory), "--tls-cert-file", str(files.server),
        "--tls-private-key-file", str(files.server_key), "--client-ca-file", str(files.authority),
        "--token-auth-file", str(tokens), "--authorization-mode", "RBAC",
        "--service-account-issuer", "https://kubernetes.default.svc",
        "--service-account-key-file", str(files.accounts_key),
        "--service-account-signing-key-file", str(files.accounts_key),
        "--service-cluster-ip-range", "10.96.0.0/16",
        "--audit-policy-file", str(directory / "audit-policy.yaml"),
        "--audit-log-path", str(directory / "audit.log"),
        # No controller makes default accounts, so pods would be refused for want of one.
        "--disable-admission-plugins", "ServiceAccount", "--endpoint-reconciler-type", "none",
    ]  # fmt: skip


@contextlib.contextmanager
def _process(log: Path, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Killed by the kernel should the test run die first."""
    launcher = [sys.executable, "-m", "smsbridge.runtime.launch", str(os.getpid())]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*launcher, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], server: ApiServer, *, port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    trust = ssl.create_default_context(cafile=str(server.authority))
    while not _is_ready(trust, port, server.admin_token):
        if process.poll() is not None or time.monotonic() > deadline:
            end = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
            raise AssertionError("kube-apiserver did not come up\n" + "\n".join(end))
        time.sleep(0.1)


def _is_ready(trust: ssl.SSLContext, port: int, token: str) -> bool:
    connection = http.client.HTTPSConnection(_HOST, port, context=trust, timeout=5)
    try:
        connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
