"""Master keys: seal what is secret at rest, make and check the keys in URLs, digest what must not be
readable.

The first key of the ring writes; all of them read and check, so that keys can be rotated without a stop:
add the new one as second everywhere, then make it the first, then drop the old one. Knows nothing of what
it seals.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from smsbridge.core import errors

KEY_BYTES = 32
_NONCE_BYTES = 12  # what AES-GCM is made for
_ID_BYTES = 4
_FORMAT = b"\x01"
_URL_KEY_BYTES = 20  # 160 bits are exactly 32 letters of base32
_DIGEST_HEX = 32


class KeyringError(errors.ConfigError):
    """A key file that cannot be used, or something sealed that no key of the ring opens."""

    code = "KeyringError"


@dataclass(frozen=True, slots=True)
class _Key:
    """One master key and what is derived from it, so that no two purposes share a key."""

    id: bytes
    cipher: AESGCM
    url: bytes
    digest: bytes

    @classmethod
    def of(cls, master: bytes) -> "_Key":
        def derive(purpose: str) -> bytes:
            return hmac.digest(master, f"smsbridge {purpose} 1".encode(), hashlib.sha256)

        return cls(
            id=derive("id")[:_ID_BYTES],
            cipher=AESGCM(derive("seal")),
            url=derive("url"),
            digest=derive("digest"),
        )


class Keyring:
    """`create` and `load` are the doors; the constructor takes the raw keys, first the one that writes."""

    def __init__(self, masters: Sequence[bytes]) -> None:
        if not masters:
            raise KeyringError("the key file holds no key; write one of 32 bytes in base64")
        if any(len(master) != KEY_BYTES for master in masters):
            raise KeyringError("a master key must be 32 bytes in base64, one a line")
        self._keys = tuple(_Key.of(master) for master in masters)
        self._by_id = {key.id: key for key in reversed(self._keys)}

    @classmethod
    def load(cls, path: Path) -> "Keyring":
        """One key a line, base64; empty lines and those that start with # are left out."""
        try:
            text = path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise KeyringError(
                f"the key file cannot be read ({type(error).__name__}); check its path and rights"
            ) from error
        lines = [line.strip() for line in text.splitlines()]
        try:
            return cls(
                [base64.b64decode(line, validate=True) for line in lines if line and not line.startswith("#")]
            )
        except binascii.Error as error:
            raise KeyringError(
                "a line of the key file is not base64; write one key of 32 bytes a line"
            ) from error

    @classmethod
    def create(cls, path: Path) -> "Keyring":
        """Makes the file (0600) where there is none, and loads it. Of two at once one wins and both load
        its key.
        """
        if not path.exists():
            _write_new(path, base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
        return cls.load(path)

    @property
    def fingerprint(self) -> str:
        """Of the key that writes; tells nothing about the key."""
        return self._keys[0].id.hex()

    @property
    def fingerprints(self) -> tuple[str, ...]:
        return tuple(key.id.hex() for key in self._keys)

    def encrypt(self, plain: bytes, *, context: str) -> bytes:
        """`context` says what it is; the same must be given to open it, so that one record cannot stand in
        for another.
        """
        key = self._keys[0]
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _FORMAT + key.id + nonce + key.cipher.encrypt(nonce, plain, context.encode())

    def decrypt(self, sealed: bytes, *, context: str) -> bytes:
        """Raises KeyringError where no key of the ring opens it, or it was made for another context."""
        head = len(_FORMAT) + _ID_BYTES
        key = self._by_id.get(sealed[len(_FORMAT) : head])
        if sealed[: len(_FORMAT)] != _FORMAT or key is None:
            raise KeyringError(
                "sealed with a key that is not in the key file; add the old key as a further line"
            )
        nonce = sealed[head : head + _NONCE_BYTES]
        try:
            return key.cipher.decrypt(nonce, sealed[head + _NONCE_BYTES :], context.encode())
        except (InvalidTag, ValueError) as error:
            raise KeyringError("what was sealed has been damaged or belongs elsewhere") from error

    def current(self, sealed: bytes) -> bool:
        """False where it was sealed with a key that is no longer the first: seal it again."""
        return sealed[len(_FORMAT) : len(_FORMAT) + _ID_BYTES] == self._keys[0].id

    def url_key(self, door: str, uid: str) -> str:
        """The secret part of a provider's URLs: 32 letters and digits. `door` is `bitrix24` or `smsc`."""
        return _url_key(self._keys[0], door, uid)

    def url_key_matches(self, door: str, uid: str, key: str) -> bool:
        """In constant time for each key of the ring."""
        given = key.encode("utf-8", "surrogatepass")
        results = [hmac.compare_digest(_url_key(k, door, uid).encode(), given) for k in self._keys]
        return any(results)

    def digest(self, purpose: str, value: str) -> str:
        """A keyed hash: equal values of one purpose are equal, and nobody without the key can try values."""
        return _digest(self._keys[0], purpose, value)

    def digests(self, purpose: str, value: str) -> tuple[str, ...]:
        """By every key of the ring, to compare with what an older first key wrote."""
        return tuple(_digest(key, purpose, value) for key in self._keys)


def _url_key(key: _Key, door: str, uid: str) -> str:
    mac = hmac.digest(key.url, f"{door}\0{uid}".encode(), hashlib.sha256)
    return base64.b32encode(mac[:_URL_KEY_BYTES]).decode().lower()


def _digest(key: _Key, purpose: str, value: str) -> str:
    message = f"{purpose}\0{value}".encode("utf-8", "surrogatepass")
    return hmac.digest(key.digest, message, hashlib.sha256).hex()[:_DIGEST_HEX]


def _write_new(path: Path, content: bytes) -> None:
    """Whole or not at all: a link fails where the name is taken, a rename would replace the other's key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made with 0600
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
