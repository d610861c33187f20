"""The keyring: sealing, URL keys, digests, rotation, and how its file comes to be."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from smsbridge.store.keyring import Keyring, KeyringError

OLD, NEW = b"o" * 32, b"n" * 32


def test_what_was_sealed_opens_again_and_shows_nothing() -> None:
    ring = Keyring([NEW])
    sealed = ring.encrypt(b"a password", context="provider")

    assert ring.decrypt(sealed, context="provider") == b"a password"
    assert b"password" not in sealed
    assert ring.encrypt(b"a password", context="provider") != sealed


def test_another_context_does_not_open_it() -> None:
    ring = Keyring([NEW])
    sealed = ring.encrypt(b"tokens", context="installation a")

    with pytest.raises(KeyringError):
        ring.decrypt(sealed, context="installation b")


@pytest.mark.parametrize("position", [0, 1, 6, 20, -1])
def test_damage_is_noticed(position: int) -> None:
    ring = Keyring([NEW])
    sealed = bytearray(ring.encrypt(b"tokens", context="x"))
    sealed[position] ^= 1

    with pytest.raises(KeyringError):
        ring.decrypt(bytes(sealed), context="x")


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01abcd", b"not sealed at all"])
def test_what_is_no_sealed_thing_is_refused(sealed: bytes) -> None:
    with pytest.raises(KeyringError):
        Keyring([NEW]).decrypt(sealed, context="x")


def test_rotation_reads_old_writes_new() -> None:
    old, both, new = Keyring([OLD]), Keyring([NEW, OLD]), Keyring([NEW])
    sealed = old.encrypt(b"kept", context="x")

    assert both.decrypt(sealed, context="x") == b"kept"
    assert not both.current(sealed)
    assert both.current(both.encrypt(b"kept", context="x"))
    assert both.fingerprints == (new.fingerprint, old.fingerprint)
    assert both.fingerprint == new.fingerprint != old.fingerprint
    with pytest.raises(KeyringError):
        new.decrypt(sealed, context="x")


def test_url_keys_are_long_lower_case_and_apart() -> None:
    ring = Keyring([NEW])
    key = ring.url_key("bitrix24", "uid-1")

    assert len(key) == 32
    assert key == key.lower()
    assert key.isalnum()
    assert len({key, ring.url_key("smsc", "uid-1"), ring.url_key("bitrix24", "uid-2")}) == 3


def test_url_keys_match_by_every_key_of_the_ring() -> None:
    both = Keyring([NEW, OLD])

    assert both.url_key_matches("smsc", "uid-1", Keyring([NEW]).url_key("smsc", "uid-1"))
    assert both.url_key_matches("smsc", "uid-1", Keyring([OLD]).url_key("smsc", "uid-1"))
    assert not both.url_key_matches("bitrix24", "uid-1", both.url_key("smsc", "uid-1"))
    assert not both.url_key_matches("smsc", "uid-2", both.url_key("smsc", "uid-1"))


@pytest.mark.parametrize("key", ["", "short", "ключ", "\ud800", "A" * 10_000])
def test_no_foreign_text_is_a_url_key(key: str) -> None:
    assert not Keyring([NEW]).url_key_matches("smsc", "uid-1", key)


def test_digests_are_keyed_and_by_purpose() -> None:
    ring = Keyring([NEW, OLD])

    assert len(ring.digest("number", "79990000000")) == 32
    assert ring.digest("number", "79990000000") != ring.digest("token", "79990000000")
    assert ring.digest("number", "79990000000") != Keyring([OLD]).digest("number", "79990000000")
    assert ring.digests("number", "1") == (
        Keyring([NEW]).digest("number", "1"),
        Keyring([OLD]).digest("number", "1"),
    )


def test_the_file_is_made_once_private_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "master.key"
    made = Keyring.create(path)

    assert Keyring.create(path).fingerprint == made.fingerprint == Keyring.load(path).fingerprint
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["master.key"]


def test_of_many_at_once_all_get_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    with ThreadPoolExecutor(8) as pool:
        fingerprints = {ring.fingerprint for ring in pool.map(Keyring.create, [path] * 16)}

    assert len(fingerprints) == 1


@pytest.mark.parametrize(
    "content", ["", "# only a comment\n", "c2hvcnQ=\n", "not base64!\n", "ключ\n", "AAAA\nBBBB\n"]
)
def test_a_bad_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "master.key"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(KeyringError):
        Keyring.load(path)


def test_a_missing_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="cannot be read"):
        Keyring.load(tmp_path / "none")
