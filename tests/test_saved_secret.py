"""The saved secret: where it is kept, for whom, and what happens where it can't be used."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from aries_auth import AriesAuth, ConfigurationError, FileTokenStore, Token, TokenStore
from aries_auth.settings import saved_secret
from aries_auth.settings.credentials import ClientCredentials, SecretSource
from aries_auth.testing import AriesSandbox
from aries_auth.token import Secret
from tests.leaks import assert_no_secret

SECRET = "SECRET-typed-once"
OTHER = 65534
posix = pytest.mark.skipif(os.name != "posix", reason="modes, owners and links of POSIX")
as_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="gives files to another user")


class FakeKeyring:
    """A backend of a caller's own, as `keyring.set_keyring` takes it."""

    priority = 1.0

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, name: str) -> str | None:
        self._check()
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, secret: str) -> None:
        self._check()
        self.kept[service, name] = secret

    def delete_password(self, service: str, name: str) -> None:
        self._check()
        del self.kept[service, name]

    def _check(self) -> None:
        if self.locked:
            raise RuntimeError("locked; the password was hush")


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> FakeKeyring:
    """A real backend as far as the package can tell."""
    keyring = pytest.importorskip("keyring")
    fake = FakeKeyring()
    monkeypatch.setattr(keyring, "get_keyring", lambda: fake)
    return fake


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the developer's own."""
    monkeypatch.setattr("aries_auth.settings.keyrings._backend", _backend_of_tests)


def _backend_of_tests() -> Any:
    keyring = sys.modules.get("keyring")
    backend = keyring.get_keyring() if keyring is not None else None
    return backend if isinstance(backend, FakeKeyring) and backend.priority >= 1 else None


@pytest.fixture
def store(tmp_path: Path) -> FileTokenStore:
    return FileTokenStore(tmp_path / "token.json")


@pytest.fixture
def path(store: FileTokenStore) -> Path:
    return Path(f"{store.path}.secret")


def secret_of(store: TokenStore, client_id: str = "mine") -> Secret:
    return SecretSource(None).read(client_id, store)


# In the file


def test_a_secret_saved_in_the_file_is_found_and_the_file_has_the_documented_keys(
    store: FileTokenStore, path: Path
) -> None:
    assert saved_secret.save(store, "mine", Secret(SECRET)) == "file"
    assert json.loads(path.read_text()) == {"version": 1, "client_id": "mine", "client_secret": SECRET}
    assert secret_of(store) == Secret(SECRET)


@posix
def test_the_file_has_the_mode_of_the_token_file(tmp_path: Path) -> None:
    for mode in (0o600, 0o660):
        store = FileTokenStore(tmp_path / f"{mode}.json", mode=mode)
        before = os.umask(0)
        try:
            saved_secret.save(store, "mine", Secret(SECRET))
        finally:
            os.umask(before)
        assert Path(f"{store.path}.secret").stat().st_mode & 0o777 == mode


def test_parameter_and_environment_come_first(
    store: FileTokenStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    saved_secret.save(store, "mine", Secret(SECRET))
    (tmp_path / "file").write_text("of-the-file")
    monkeypatch.setenv("ARIES_CLIENT_SECRET_FILE", str(tmp_path / "file"))
    assert secret_of(store) == Secret("of-the-file")
    monkeypatch.setenv("ARIES_CLIENT_SECRET", "of-the-variable")
    assert secret_of(store) == Secret("of-the-variable")
    assert SecretSource("given").read("mine", store) == Secret("given")


def test_another_client_s_is_passed_over_and_the_error_says_that_it_is_there(store: FileTokenStore, path: Path) -> None:
    saved_secret.save(store, "theirs", Secret(SECRET))
    with pytest.raises(ConfigurationError, match="client theirs, not of mine") as caught:
        secret_of(store)
    assert str(path) in str(caught.value)
    assert "ARIES_CLIENT_SECRET" in str(caught.value)
    assert_no_secret(caught.value, SECRET)


def test_without_one_the_error_is_that_of_a_missing_secret(store: FileTokenStore) -> None:
    with pytest.raises(ConfigurationError, match=r"client_secret is missing: pass client_secret=, or set"):
        secret_of(store)


# What can't be used


class _Interrupted(BaseException):
    """What comes out of a cipher that a person or a framework ends: a Ctrl-C, a time-out of gevent."""


class _Slow:
    def encrypt(self, data: bytes) -> bytes:
        raise _Interrupted

    def decrypt(self, token: bytes) -> bytes:
        raise _Interrupted


def test_a_ctrl_c_in_a_cipher_leaves_no_frame_that_shows_the_secret(path: Path) -> None:
    store = FileTokenStore(path.with_suffix(""), cipher=_Slow())
    with pytest.raises(_Interrupted) as caught:
        saved_secret.save(store, "mine", Secret(SECRET), "file")
    assert_no_secret(caught.value, SECRET)
    with pytest.raises(_Interrupted) as caught:
        store.save(Token("access-planted", "refresh-planted"))
    assert_no_secret(caught.value, "access-planted", "refresh-planted")


def wrong_mode(path: Path) -> None:
    path.chmod(0o644)


def damaged(path: Path) -> None:
    path.write_text("{")


def empty(path: Path) -> None:
    path.write_text("")


def newer(path: Path) -> None:
    path.write_text('{"version": 2, "client_id": "mine", "client_secret": "x"}')


def true_for_1(path: Path) -> None:
    path.write_text('{"version": true, "client_id": "mine", "client_secret": "x"}')


def without_secret(path: Path) -> None:
    path.write_text('{"version": 1, "client_id": "mine"}')


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def foreign(path: Path) -> None:
    os.chown(path, OTHER, -1)


def foreign_link(path: Path) -> None:
    target = path.with_name("planted")
    path.rename(target)
    path.symlink_to(target)
    os.lchown(path, OTHER, -1)


@posix
@pytest.mark.parametrize(
    "spoil, cure",
    [
        (wrong_mode, "chmod 600"),
        (damaged, "aries-auth login --save-secret"),
        (empty, "aries-auth login --save-secret"),
        (newer, "newer aries-auth"),
        (true_for_1, "its version is not 1"),
        (without_secret, "aries-auth login --save-secret"),
        (a_pipe, "emove it"),
        pytest.param(foreign, "chown", marks=as_root),
        pytest.param(foreign_link, "emove it", marks=as_root),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_one_that_cannot_be_used_is_a_configuration_error_with_the_cure_and_nothing_is_sent(
    spoil: Callable[[Path], None], cure: str, store: FileTokenStore, path: Path, aries: AriesSandbox
) -> None:
    store.save(aries.issue_token(age=4000.0))
    saved_secret.save(store, aries.client_id, Secret(aries.client_secret))
    spoil(path)
    auth = AriesAuth(store=store, token_url=aries.token_url, api_origins=[aries.api_url])
    with pytest.raises(ConfigurationError, match=cure) as caught:
        auth.get_token()
    assert str(path) in str(caught.value)
    assert aries.token_requests == ()
    assert_no_secret(caught.value, aries.client_secret)


@posix
def test_a_link_of_one_s_own_is_followed(store: FileTokenStore, path: Path) -> None:
    saved_secret.save(store, "mine", Secret(SECRET))
    target = path.with_name("elsewhere")
    path.rename(target)
    path.symlink_to(target)
    assert secret_of(store) == Secret(SECRET)
    saved_secret.save(store, "mine", Secret("another"))
    assert path.is_symlink()
    assert secret_of(store) == Secret("another")


@posix
def test_a_link_of_one_s_own_to_no_file_yet_is_no_saved_secret_and_is_where_one_is_saved(
    store: FileTokenStore, path: Path
) -> None:
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(path.with_name("elsewhere"))
    assert saved_secret.read(store) is None
    assert saved_secret.delete(store) is False
    saved_secret.save(store, "mine", Secret(SECRET))
    assert (path.is_symlink(), secret_of(store)) == (True, Secret(SECRET))
    assert saved_secret.delete(store) is True
    assert (path.is_symlink(), saved_secret.read(store)) == (True, None)


def test_a_saved_secret_refreshes_with_nothing_in_the_environment(store: FileTokenStore, aries: AriesSandbox) -> None:
    old = aries.issue_token(age=4000.0)
    store.save(old)
    saved_secret.save(store, aries.client_id, Secret(aries.client_secret))
    auth = AriesAuth(store=store.path, token_url=aries.token_url, api_origins=[aries.api_url])
    assert auth.get_token() != old.access_token
    assert aries.refresh_count == 1


# Encrypted


def fernet() -> Any:
    module = pytest.importorskip("cryptography.fernet")
    return module.Fernet(module.Fernet.generate_key())


def test_it_is_encrypted_under_the_store_s_cipher(tmp_path: Path) -> None:
    cipher = fernet()
    store = FileTokenStore(tmp_path / "t.json", cipher=cipher)
    saved_secret.save(store, "mine", Secret(SECRET))
    document = json.loads(Path(f"{store.path}.secret").read_text())
    assert list(document) == ["version", "ciphertext"]
    assert secret_of(store) == Secret(SECRET)


@pytest.mark.parametrize("later, cure", [(None, "set \\$ARIES_STORE_KEY"), (fernet, "give the key")])
def test_encrypted_without_the_key_is_a_configuration_error(tmp_path: Path, later: Any, cure: str) -> None:
    saved_secret.save(FileTokenStore(tmp_path / "t.json", cipher=fernet()), "mine", Secret(SECRET))
    store = FileTokenStore(tmp_path / "t.json", cipher=later and later())
    with pytest.raises(ConfigurationError, match=cure) as caught:
        secret_of(store)
    assert_no_secret(caught.value, SECRET)


def test_a_plain_one_under_a_key_is_a_configuration_error(tmp_path: Path) -> None:
    saved_secret.save(FileTokenStore(tmp_path / "t.json"), "mine", Secret(SECRET))
    with pytest.raises(ConfigurationError, match="not encrypted"):
        secret_of(FileTokenStore(tmp_path / "t.json", cipher=fernet()))


# In the keyring


def test_in_the_keyring_the_file_says_so_and_holds_no_secret(
    store: FileTokenStore, path: Path, keyring: FakeKeyring
) -> None:
    assert saved_secret.save(store, "mine", Secret(SECRET)) == "keyring"
    assert json.loads(path.read_text()) == {"version": 1, "client_id": "mine", "kept_in": "keyring"}
    assert list(keyring.kept.values()) == [SECRET]
    assert secret_of(store) == Secret(SECRET)


def test_the_keyring_is_asked_only_where_the_file_says_so(
    store: FileTokenStore, keyring: FakeKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved_secret.save(store, "mine", Secret(SECRET), "file")
    keyring.locked = True
    assert secret_of(store) == Secret(SECRET)


def test_a_backend_with_a_priority_below_1_is_no_keyring(store: FileTokenStore, keyring: FakeKeyring) -> None:
    keyring.priority = 0.9
    assert saved_secret.save(store, "mine", Secret(SECRET)) == "file"
    with pytest.raises(ConfigurationError, match="aries-auth\\[keyring\\]"):
        saved_secret.save(store, "mine", Secret(SECRET), "keyring")


def test_a_locked_keyring_is_a_configuration_error_with_the_cure(store: FileTokenStore, keyring: FakeKeyring) -> None:
    saved_secret.save(store, "mine", Secret(SECRET))
    keyring.locked = True
    with pytest.raises(ConfigurationError, match="Unlock it, or set") as caught:
        secret_of(store)
    assert "hush" not in str(caught.value)
    assert_no_secret(caught.value, SECRET)
    keyring.locked = False
    assert secret_of(store) == Secret(SECRET)


@pytest.mark.parametrize("how", ["refuses", "forgets"])
def test_a_keyring_that_does_not_keep_a_secret_is_named_or_the_file_keeps_it(
    store: FileTokenStore, path: Path, keyring: FakeKeyring, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "refuses":
        keyring.locked = True
    else:
        monkeypatch.setattr(keyring, "get_password", lambda _service, _name: None)
    what = r"it refused \(RuntimeError\)\. Unlock it" if how == "refuses" else "it did not keep it"
    with pytest.raises(ConfigurationError, match=what) as caught:
        saved_secret.save(store, "mine", Secret(SECRET), "keyring")
    assert "hush" not in str(caught.value)
    assert_no_secret(caught.value, SECRET)
    assert not path.exists()
    assert saved_secret.save(store, "mine", Secret(SECRET)) == "file"
    assert secret_of(store) == Secret(SECRET)


def test_a_keyring_that_does_not_let_go_of_a_secret_leaves_the_file_to_try_again(
    store: FileTokenStore, path: Path, keyring: FakeKeyring
) -> None:
    saved_secret.save(store, "mine", Secret(SECRET))
    keyring.locked = True
    with pytest.raises(
        ConfigurationError, match=r"it refused \(RuntimeError\)\. Unlock it, and log out.*service 'aries-auth'"
    ):
        saved_secret.delete(store)
    keyring.locked, keyring.priority = False, 0
    with pytest.raises(
        ConfigurationError, match=re.escape(f"entry of service 'aries-auth', user name '{path}', then the file {path}")
    ):
        saved_secret.delete(store)
    assert path.exists()
    keyring.priority = 1
    assert saved_secret.delete(store)
    assert not keyring.kept


def test_a_keyring_that_is_gone_is_a_configuration_error_with_the_cure(
    store: FileTokenStore, keyring: FakeKeyring
) -> None:
    saved_secret.save(store, "mine", Secret(SECRET))
    keyring.priority = 0
    with pytest.raises(ConfigurationError, match="pip install"):
        secret_of(store)
    keyring.priority = 1
    keyring.kept.clear()
    with pytest.raises(ConfigurationError, match="it has none"):
        secret_of(store)


def test_deleting_removes_it_from_the_keyring_too(store: FileTokenStore, path: Path, keyring: FakeKeyring) -> None:
    saved_secret.save(store, "mine", Secret(SECRET))
    assert saved_secret.delete(store)
    assert not keyring.kept
    assert not path.exists()
    assert not saved_secret.delete(store)


def test_moving_it_to_the_file_takes_it_out_of_the_keyring(store: FileTokenStore, keyring: FakeKeyring) -> None:
    saved_secret.save(store, "mine", Secret(SECRET))
    saved_secret.save(store, "mine", Secret(SECRET), "file")
    assert not keyring.kept
    assert secret_of(store) == Secret(SECRET)


@posix
@pytest.mark.parametrize("spoil", [damaged, wrong_mode, a_pipe], ids=lambda each: each.__name__)
def test_one_that_cannot_be_used_is_deleted_all_the_same(
    store: FileTokenStore, path: Path, spoil: Callable[[Path], None]
) -> None:
    saved_secret.save(store, "mine", Secret(SECRET))
    spoil(path)
    assert saved_secret.delete(store)
    assert not os.path.lexists(path)


@as_root
def test_nothing_is_deleted_through_a_link_of_others(store: FileTokenStore, path: Path) -> None:
    saved_secret.save(store, "mine", Secret(SECRET))
    foreign_link(path)
    from aries_auth import StoreError

    with pytest.raises(StoreError, match="link"):
        saved_secret.delete(store)
    assert path.with_name("planted").exists()


class OwnStore:
    """A store without a file."""

    def load(self) -> Token | None:
        return None


def test_a_store_without_a_path_has_none() -> None:
    store: Any = OwnStore()
    with pytest.raises(ConfigurationError, match="is no file"):
        saved_secret.save(store, "mine", Secret(SECRET))
    assert saved_secret.read(store) is None
    assert not saved_secret.delete(store)


@pytest.mark.parametrize("where", ["vault", 1, ""])
def test_a_place_that_is_none_is_a_configuration_error(store: FileTokenStore, where: Any) -> None:
    with pytest.raises(ConfigurationError, match="save_secret must be"):
        saved_secret.check_place(store, where)


# With a real Secret Service

_SESSION = """
import sys, subprocess, time
unlocked = subprocess.run(["gnome-keyring-daemon", "--unlock", "--components=secrets"], input=b"pw\\n",
                          stdout=subprocess.DEVNULL, check=True)
from aries_auth import FileTokenStore, ConfigurationError
from aries_auth.settings import saved_secret
from aries_auth.settings.credentials import SecretSource
from aries_auth.token import Secret
store = FileTokenStore(sys.argv[1])
assert saved_secret.save(store, "mine", Secret("typed-once-real")) == "keyring"
assert "typed-once-real" not in open(store.path + ".secret").read()
done = subprocess.run([sys.executable, "-c", sys.argv[2], sys.argv[1]], stdout=subprocess.PIPE, text=True, check=True)
assert done.stdout == "typed-once-real", done.stdout
import secretstorage
bus = secretstorage.dbus_init()
secretstorage.get_default_collection(bus).lock()
try:
    SecretSource(None).read("mine", store)
except ConfigurationError as exc:
    assert "nlock" in str(exc), exc
else:
    raise SystemExit("the locked keyring gave the secret")
bus.close()
subprocess.run(["gnome-keyring-daemon", "--unlock", "--replace", "--components=secrets"], input=b"pw\\n",
               stdout=subprocess.DEVNULL, check=True)
assert saved_secret.delete(store)
try:
    SecretSource(None).read("mine", store)
except ConfigurationError as exc:
    assert "missing" in str(exc), exc
"""
_READ = """
import sys
from aries_auth import FileTokenStore
from aries_auth.settings.credentials import SecretSource
sys.stdout.write(SecretSource(None).read("mine", FileTokenStore(sys.argv[1])).reveal())
"""


def clean(tmp_path: Path, **more: str) -> dict[str, str]:
    root = str(Path(__file__).parent.parent)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ARIES_", "XDG_", "DBUS_"))}
    return {**kept, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PYTHONPATH": root, **more}


def test_a_real_secret_service_keeps_it_for_every_program(tmp_path: Path) -> None:
    import shutil

    pytest.importorskip("secretstorage")
    if not shutil.which("gnome-keyring-daemon") or not shutil.which("dbus-run-session"):
        pytest.skip("needs gnome-keyring and dbus-run-session")
    tmp_path.chmod(0o700)
    done = subprocess.run(
        ["dbus-run-session", "--", sys.executable, "-c", _SESSION, str(tmp_path / "t.json"), _READ],
        env=clean(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_with_no_keyring_at_all_it_is_kept_in_the_file(tmp_path: Path) -> None:
    program = (
        "import sys\nsys.modules['keyring'] = None\n"
        "from aries_auth import FileTokenStore\nfrom aries_auth.settings import saved_secret\n"
        "from aries_auth.token import Secret\nstore = FileTokenStore(sys.argv[1])\n"
        "assert saved_secret.save(store, 'mine', Secret('s')) == 'file'\n"
        "assert saved_secret.load(store, 'mine') == Secret('s')\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "t.json")], env=clean(tmp_path), check=True, timeout=60
    )


def test_a_secret_is_looked_for_by_the_credentials_of_its_client(store: FileTokenStore) -> None:
    saved_secret.save(store, "mine", Secret(SECRET))
    token = Token("a", client_id="mine", redirect_uri="http://127.0.0.1:1/cb")
    credentials = ClientCredentials(None, SecretSource(None), None).credentials(token, store)
    assert credentials.client_secret == Secret(SECRET)


def test_rekey_moves_the_secret_along_with_the_token(tmp_path: Path) -> None:
    from aries_auth import StoreError

    module = pytest.importorskip("cryptography.fernet")
    old, new = fernet(), fernet()
    store = FileTokenStore(tmp_path / "t.json", cipher=old)
    saved_secret.save(store, "mine", Secret(SECRET))
    assert saved_secret.rekey_secret(store, module.MultiFernet([new, old]), encrypt_plain=False)
    assert secret_of(FileTokenStore(tmp_path / "t.json", cipher=new)) == Secret(SECRET)
    plain = FileTokenStore(tmp_path / "plain.json")
    saved_secret.save(plain, "mine", Secret(SECRET))
    with pytest.raises(StoreError, match="not encrypted"):
        saved_secret.rekey_secret(plain, new, encrypt_plain=False)
    assert saved_secret.rekey_secret(plain, new, encrypt_plain=True)
    assert secret_of(FileTokenStore(tmp_path / "plain.json", cipher=new)) == Secret(SECRET)
    assert not saved_secret.rekey_secret(FileTokenStore(tmp_path / "none.json"), new, encrypt_plain=True)
    if os.name == "posix":
        (tmp_path / "none.json.secret").symlink_to("nowhere")
        assert not saved_secret.rekey_secret(FileTokenStore(tmp_path / "none.json"), new, encrypt_plain=True)
