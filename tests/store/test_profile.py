"""Profiles: which names, which folder, and what to do without a home."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import platformdirs
import pytest

from aries_auth import ConfigurationError, FileTokenStore
from aries_auth.store import profile
from aries_auth.store.profile import check_profile, profile_path
from tests.store.conftest import IS_ROOT, as_user, some_token

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = tmp_path / "aries-auth"
    if platformdirs.user_data_dir("aries-auth") != str(folder):  # Windows asks no variable
        monkeypatch.setattr(platformdirs, "user_data_dir", lambda _name: str(folder))
    return folder


def test_the_store_of_a_profile_is_a_file_of_its_name(data: Path) -> None:
    cipher: Any = SimpleNamespace(encrypt=bytes, decrypt=bytes)
    store = FileTokenStore.for_profile("paper", cipher=cipher)
    assert (store.path, store.cipher, store.lock_timeout) == (str(data / "paper.json"), cipher, 45.0)
    assert FileTokenStore.for_profile().path == str(data / "default.json")
    assert not data.exists()


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a\\b", "x" * 65, "ü", "a b", "..", None, 7])
def test_what_might_mean_another_file_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="no profile name"):
        FileTokenStore.for_profile(name)


@pytest.mark.parametrize("name", ["nul", "CON", "aux", "com1", "LPT9", "prn", "nul.x", "con.1.2"])
def test_devices_of_windows_are_refused_everywhere(name: str) -> None:
    with pytest.raises(ConfigurationError, match="on Windows it is a device"):
        check_profile(name)


@pytest.mark.parametrize("name", ["null", "console", "com", "com10", "x.nul", "paper-1", "A.b_c", "0"])
def test_other_names_are_taken(name: str) -> None:
    assert check_profile(name) == name


# Capital letters


def fold(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the system look names up as macOS and Windows do."""
    real = os.path.lexists

    def lexists(path: Any) -> bool:
        names = [each.name.lower() for each in folder.iterdir()] if folder.exists() else []
        return real(path) or (Path(path).parent == folder and Path(path).name.lower() in names)

    monkeypatch.setattr(os.path, "lexists", lexists)


def test_profiles_that_differ_in_case_alone_are_refused_where_they_would_be_one_file(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FileTokenStore.for_profile("paper").save(some_token())
    fold(monkeypatch, data)
    other = FileTokenStore.for_profile("Paper")
    for act in (other.load, lambda: other.save(some_token("x")), other.delete, other.locked().__enter__):
        with pytest.raises(ConfigurationError, match="Paper would share its file with the profile paper"):
            act()
    assert FileTokenStore.for_profile("paper").load() == some_token()


def folds_case(folder: Path) -> bool:
    (folder / "probe").touch()
    return (folder / "PROBE").exists()


def test_elsewhere_they_are_two(tmp_path: Path) -> None:
    if folds_case(tmp_path):
        pytest.skip("this filesystem does not tell capital letters from small ones")
    FileTokenStore.for_profile("paper").save(some_token())
    FileTokenStore.for_profile("Paper").save(some_token("x"))
    assert FileTokenStore.for_profile("paper").load() == some_token()


def casefolded(tmp_path: Path) -> bool:
    """Make a folder that folds case, as ext4 can; whether that worked."""
    image, folder = tmp_path / "image", tmp_path / "folded"
    folder.mkdir()
    script = (
        f"truncate -s 8M '{image}' && mkfs.ext4 -q -O casefold -E encoding=utf8 '{image}' && "
        f"mount -o loop '{image}' '{folder}' && mkdir '{folder}/aries-auth' && chattr +F '{folder}/aries-auth'"
    )
    return subprocess.run(["sh", "-c", script], capture_output=True, check=False).returncode == 0


def test_on_a_real_filesystem_that_folds_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if folds_case(tmp_path):  # Windows, macOS
        share_a_file()
        return
    try:
        if not (IS_ROOT and sys.platform == "linux" and casefolded(tmp_path)):
            pytest.skip("needs root and a kernel whose ext4 folds case")
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "folded"))
        share_a_file()
    finally:
        if sys.platform == "linux":
            subprocess.run(["umount", "-l", str(tmp_path / "folded")], capture_output=True, check=False)


def share_a_file() -> None:
    FileTokenStore.for_profile("paper").save(some_token())
    with pytest.raises(ConfigurationError, match="would share its file with the profile paper"):
        FileTokenStore.for_profile("Paper").load()


# No home

TRY = """
import os, sys
from aries_auth import ConfigurationError, FileTokenStore, Token
from aries_auth.settings.stores import login_command
for act in (lambda: FileTokenStore.for_profile("default").load(), lambda: FileTokenStore("~/t.json").load()):
    try:
        act()
    except ConfigurationError as exc:
        print(exc)
store = FileTokenStore(sys.argv[1])
store.save(Token("t"))
assert store.load() == Token("t")
assert login_command(None, store).endswith(sys.argv[1]), login_command(None, store)
assert sorted(os.listdir(".")) == ["t.json", "t.json.lock"], os.listdir(".")
"""


@pytest.mark.skipif(not IS_ROOT, reason="only root may become a user without a name")
@pytest.mark.parametrize("version", [None, "3.0.0", "4.0.0"])
def test_a_user_without_a_home_has_no_default_store_and_an_explicit_one_works(
    open_folder: Path, version: str | None
) -> None:
    uid = 4242
    os.chown(open_folder, uid, uid)
    paths = [str(ROOT)]
    if version is not None:
        # Outside the folder that the user sees; not every machine has an index.
        there = open_folder.with_name(open_folder.name + "-platformdirs")
        get = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--target",
            str(there),
            f"platformdirs=={version}",
        ]
        if subprocess.run(get, capture_output=True, check=False).returncode:
            pytest.skip("no package index here")
        subprocess.run(["chmod", "-R", "a+rX", str(there)], check=True)
        paths.insert(0, str(there))
    done = subprocess.run(
        [*as_user(uid), sys.executable, "-c", TRY, str(open_folder / "t.json")],
        cwd=open_folder, env={"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert "no home folder" in first
    assert "$ARIES_TOKEN_FILE" in first
    assert "no home folder for the ~" in second


# Made without I/O


def test_making_a_store_asks_the_system_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("getcwd", "stat", "lstat", "readlink", "open", "listdir"):
        monkeypatch.setattr(os, name, lambda *_a, _name=name, **_k: pytest.fail(f"os.{_name} was called"))
    monkeypatch.setattr(profile, "profile_path", lambda _name: pytest.fail("the folder was looked for"))
    made = [FileTokenStore("t.json"), FileTokenStore(str(tmp_path) + "/a/../t.json"), FileTokenStore("~/t.json")]
    made.append(FileTokenStore.for_profile("paper"))
    assert [repr(store) for store in made] == [
        "FileTokenStore('t.json')", f"FileTokenStore({str(tmp_path / 't.json')!r})", "FileTokenStore('~/t.json')",
        "FileTokenStore.for_profile('paper')",
    ]  # fmt: skip


def test_a_relative_path_keeps_the_meaning_of_its_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    used, pickled = FileTokenStore("t.json"), FileTokenStore("p.json")
    used.save(some_token())
    travelled = pickle.dumps(pickled)
    monkeypatch.chdir(tmp_path / "other")
    assert used.load() == some_token()
    assert pickle.loads(travelled).path == str(tmp_path / "p.json")


@pytest.mark.posix("variables that say where a user's data is kept")
def test_a_profile_is_found_where_it_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileTokenStore.for_profile("paper")
    assert store.path.startswith(str(tmp_path))
    travelled = pickle.dumps(store)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "there"))
    assert pickle.loads(travelled).path == str(tmp_path / "there" / "aries-auth" / "paper.json")


def test_the_login_command_names_the_profile() -> None:
    from aries_auth.settings.stores import login_command

    assert login_command(None, FileTokenStore.for_profile("paper")) == "aries-auth login --profile paper"
    assert login_command(None, FileTokenStore.for_profile("default")) == "aries-auth login"


def test_the_folder_is_platformdirs(data: Path) -> None:
    assert profile_path("x") == str(data / "x.json")


def test_a_token_file_with_a_signature_is_read(tmp_path: Path) -> None:
    store = FileTokenStore(tmp_path / "t.json")
    store.save(some_token())
    raw = (tmp_path / "t.json").read_bytes()
    (tmp_path / "t.json").write_bytes(b"\xef\xbb\xbf" + raw)
    assert store.load() == some_token()
    store.save(some_token("x"))
    assert not (tmp_path / "t.json").read_bytes().startswith(b"\xef\xbb\xbf")
