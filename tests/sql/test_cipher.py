"""Tokens at rest under Fernet: both stores, the command's keys, rotation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

fernet = pytest.importorskip("cryptography.fernet", reason="needs aries-auth[encryption]")

from aries_auth import ConfigurationError, FileTokenStore, StoreError, Token  # noqa: E402
from aries_auth.settings.encryption import cipher_of_environment, rekey  # noqa: E402
from aries_auth.sql import SQLTokenStore  # noqa: E402
from tests.conftest import EXPIRED  # noqa: E402
from tests.leaks import assert_no_secret  # noqa: E402

TOKEN = Token("access-1", "refresh-1", expires_at=2e9, obtained_at=1e9, extra={"granted_by": "a later version"})
NEXT = Token("access-2", "refresh-2", expires_at=2e9, obtained_at=1e9)


def key() -> bytes:
    return fernet.Fernet.generate_key()


class FaultKind:
    """A kind of store, and what lies in it."""

    def __init__(self, name: str, place: Any) -> None:
        self.name, self.place = name, place

    def store(self, cipher: Any = None) -> Any:
        if self.name == "file":
            return FileTokenStore(self.place, cipher=cipher)
        return SQLTokenStore(self.place, "default", cipher=cipher)

    def document(self) -> bytes:
        if self.name == "file":
            return Path(self.place).read_bytes()
        return SQLTokenStore(self.place, "default").read().reveal().encode()


@pytest.fixture(params=["file", "sqlite", "postgresql"])
def kind(request, tmp_path):
    if request.param == "file":
        return FaultKind("file", tmp_path / "t.json")
    if request.param == "sqlite":
        return FaultKind("sqlite", f"sqlite:///{tmp_path}/t.db")
    return FaultKind("postgresql", request.getfixturevalue("postgresql"))


def test_what_lies_in_the_store_is_the_documented_envelope(kind):
    cipher = fernet.MultiFernet([fernet.Fernet(key())])
    kind.store(cipher).save(TOKEN)
    document = json.loads(kind.document())
    assert list(document) == ["version", "ciphertext"]
    assert document["version"] == 1
    import base64

    plain = cipher.decrypt(base64.b64decode(document["ciphertext"], validate=True))
    bound = {"version": 1, "key": "default", "token": TOKEN.to_dict()}
    assert json.loads(plain) == (TOKEN.to_dict() if kind.name == "file" else bound)
    assert kind.store(cipher).load() == TOKEN
    for secret in (b"access-1", b"refresh-1"):
        assert secret not in kind.document()


def test_unknown_keys_are_kept_under_the_cipher(kind):
    store = kind.store(fernet.Fernet(key()))
    store.save(TOKEN)
    store.save(NEXT)
    assert store.load().extra == {"granted_by": "a later version"}


@pytest.mark.parametrize("act", ["load", "save", "reserve"])
@pytest.mark.parametrize(
    "written, read, fault",
    [(True, "other", "the key is wrong, or the store is damaged"), (True, None, "encrypted and no cipher was given"),
     (False, "other", "a cipher was given .*, but it is not encrypted")],
)  # fmt: skip
def test_a_wrong_key_says_so_and_touches_nothing(kind, act, written, read, fault):
    kind.store(fernet.Fernet(key()) if written else None).save(TOKEN)
    before = kind.document()
    store = kind.store(fernet.Fernet(key()) if read else None)
    with pytest.raises(StoreError, match=fault) as caught:  # noqa: PT012
        if act == "load":
            store.load()
        elif act == "save":
            store.save(NEXT)
        else:
            with store.locked() as entry:
                entry.reserve()
    assert "aries-auth rekey" in str(caught.value) or "cipher=" in str(caught.value)
    assert kind.document() == before
    assert_no_secret(caught.value, "refresh-1")
    assert_no_secret(caught.value, "access-1")


def test_keys_are_rotated_as_multifernet_does_it(kind):
    old, new = fernet.Fernet(key()), fernet.Fernet(key())
    kind.store(old).save(TOKEN)
    both = kind.store(fernet.MultiFernet([new, old]))
    assert both.load() == TOKEN
    both.save(NEXT)
    assert kind.store(new).load() == NEXT
    with pytest.raises(StoreError):
        kind.store(old).load()


def test_rekey_encrypts_a_plain_store_and_moves_an_encrypted_one_to_the_newest_key(kind):
    old, new = fernet.Fernet(key()), fernet.Fernet(key())
    plain = kind.store()
    plain.save(TOKEN)
    before = kind.document()
    with pytest.raises(StoreError, match="rekey` encrypts it with --encrypt-plain"):
        rekey(plain, old)
    assert kind.document() == before
    assert rekey(plain, old, encrypt_plain=True) == TOKEN
    assert plain.cipher is None
    assert rekey(plain, fernet.MultiFernet([new, old])) == TOKEN
    assert kind.store(new).load() == TOKEN
    assert kind.store(new).load().extra == TOKEN.extra
    before = kind.document()
    with pytest.raises(StoreError, match="the key is wrong"):
        rekey(plain, fernet.Fernet(key()))
    assert kind.document() == before


def test_rekey_of_an_empty_store_stores_nothing(kind):
    assert rekey(kind.store(), fernet.Fernet(key())) is None
    assert kind.store().load() is None


class Broken:
    """Fails when it encrypts; its frames hold what it was given."""

    def encrypt(self, data: bytes) -> bytes:
        raise RuntimeError(data)

    def decrypt(self, token: bytes) -> bytes:
        raise RuntimeError(token)


def test_a_cipher_that_fails_is_found_before_the_refresh_token_is_spent(kind):
    store = kind.store(Broken())
    with pytest.raises(StoreError, match="encrypt raised RuntimeError") as caught, store.locked() as entry:
        entry.reserve()
    with pytest.raises(StoreError, match="encrypt raised RuntimeError") as caught:
        store.save(TOKEN)
    assert_no_secret(caught.value, "access-1", "refresh-1")


def test_the_client_refreshes_an_encrypted_store(kind, aries, auth_on):
    cipher = fernet.Fernet(key())
    store = kind.store(cipher)
    store.save(aries.issue_token(age=EXPIRED))
    auth = auth_on(store)
    assert auth.get_token() == store.load().access_token
    assert aries.refresh_count == 1
    assert b"ciphertext" in kind.document()


# The command's keys


@pytest.fixture
def environment(monkeypatch):
    for name in ("ARIES_STORE_KEY", "ARIES_STORE_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_without_a_key_in_the_environment_there_is_no_cipher(environment):
    assert cipher_of_environment() is None
    environment.setenv("ARIES_STORE_KEY", "")
    assert cipher_of_environment() is None


def test_the_newest_key_of_the_environment_encrypts_and_each_decrypts(environment, tmp_path):
    old, new = key(), key()
    environment.setenv("ARIES_STORE_KEY", f"{new.decode()}, {old.decode()}")
    cipher = cipher_of_environment()
    assert fernet.Fernet(new).decrypt(cipher.encrypt(b"x")) == b"x"
    assert cipher.decrypt(fernet.Fernet(old).encrypt(b"x")) == b"x"
    environment.delenv("ARIES_STORE_KEY")
    (tmp_path / "keys").write_text(f"{new.decode()}\n{old.decode()}\n")
    environment.setenv("ARIES_STORE_KEY_FILE", str(tmp_path / "keys"))
    cipher = cipher_of_environment()
    assert fernet.Fernet(new).decrypt(cipher.encrypt(b"x")) == b"x"
    assert cipher.decrypt(fernet.Fernet(old).encrypt(b"x")) == b"x"


@pytest.mark.parametrize(
    "value, fault", [("hush", "Key 1"), ("{good},hush", "Key 2"), (",", "no key"), ("hüsh", "Key 1")]
)
def test_what_is_no_key_is_refused_without_showing_it(environment, value, fault):
    good = key().decode()
    environment.setenv("ARIES_STORE_KEY", value.replace("{good}", good))
    with pytest.raises(ConfigurationError, match=fault) as caught:
        cipher_of_environment()
    for secret in ("hush", "hüsh", good):
        assert_no_secret(caught.value, secret)


def test_a_key_file_that_cannot_be_read_is_named(environment, tmp_path):
    environment.setenv("ARIES_STORE_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="No such file"):
        cipher_of_environment()
    (tmp_path / "none").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        cipher_of_environment()


def test_a_fifo_as_the_key_file_is_refused_without_waiting(environment, tmp_path):
    import os

    os.mkfifo(tmp_path / "keys")
    environment.setenv("ARIES_STORE_KEY_FILE", str(tmp_path / "keys"))
    with pytest.raises(ConfigurationError, match="no regular file"):
        cipher_of_environment()


def test_a_key_file_may_begin_with_a_signature_and_lie_in_the_home(environment, tmp_path):
    mine = key()
    (tmp_path / "keys").write_bytes(b"\xef\xbb\xbf" + mine)
    environment.setenv("HOME", str(tmp_path))
    environment.setenv("ARIES_STORE_KEY_FILE", "~/keys")
    assert fernet.Fernet(mine).decrypt(cipher_of_environment().encrypt(b"x")) == b"x"


def test_without_cryptography_the_error_says_what_to_install(environment):
    import sys

    environment.setitem(sys.modules, "cryptography.fernet", None)
    environment.setenv("ARIES_STORE_KEY", "x")
    with pytest.raises(ConfigurationError, match=r"aries-auth\[encryption\]"):
        cipher_of_environment()
