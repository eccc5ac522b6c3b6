"""A second user plants links where a victim's token file is looked for: they choose nothing for the victim."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aries_auth import FileTokenStore, StoreError
from aries_auth.store.path import resolve
from tests.cli_process import clean_environment
from tests.store.conftest import IS_ROOT, NOBODY, as_ordinary_user, as_user, some_token

ROOT = Path(__file__).parents[2]
ATTACKER = 4243
needs_two_users = pytest.mark.skipif(not IS_ROOT, reason="needs root, to act as two users")


@pytest.fixture
def home(sticky: Path) -> Path:
    """The victim's, with a file that an attacker would like to see gone."""
    home = sticky / "victim"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "authorized_keys").write_text("ssh-ed25519 AAAA victim\n")
    (home / ".ssh" / "authorized_keys").chmod(0o600)
    for path in (home, home / ".ssh", home / ".ssh" / "authorized_keys"):
        os.chown(path, NOBODY, NOBODY)
    return home


def plant(link: Path, target: Path) -> None:
    """The attacker's own process makes the link."""
    subprocess.run(
        ["setpriv", f"--reuid={ATTACKER}", f"--regid={ATTACKER}", "--clear-groups", "ln", "-s", str(target), str(link)],
        check=True,
    )


def logout(store: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """The victim runs the command."""
    return subprocess.run(
        [*as_user(NOBODY), sys.executable, "-m", "aries_auth", "logout", "--store", str(store)],
        env=clean_environment(home, PYTHONPATH=str(ROOT), PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True, text=True, timeout=60, check=False, cwd="/",
    )  # fmt: skip


@needs_two_users
def test_a_logout_through_a_planted_link_removes_nothing(sticky: Path, home: Path) -> None:
    keys = home / ".ssh" / "authorized_keys"
    plant(sticky / "aries.json", keys)
    done = logout(sticky / "aries.json", home)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"belongs to user {ATTACKER}" in done.stderr
    assert keys.exists()
    assert [path.name for path in keys.parent.iterdir()] == ["authorized_keys"]


@needs_two_users
@pytest.mark.parametrize("where", ["name", "folder", "folder above"])
def test_links_of_others_are_refused_at_the_name_and_above_it(sticky: Path, home: Path, where: str) -> None:
    (home / "a" / "b").mkdir(parents=True)
    FileTokenStore(home / "a" / "b" / "t.json").save(some_token())
    targets = {"name": home / "a" / "b" / "t.json", "folder": home / "a" / "b", "folder above": home / "a"}
    rest = {"name": "", "folder": "t.json", "folder above": "b/t.json"}
    plant(sticky / "link", targets[where])
    subprocess.run(["chown", "-R", str(NOBODY), str(home)], check=True)

    def try_it() -> None:
        store = FileTokenStore(sticky / "link" / rest[where])
        for act in (store.load, lambda: store.save(some_token("x")), store.delete, store.locked().__enter__):
            with pytest.raises(StoreError, match=f"symbolic link that belongs to user {ATTACKER}"):
                act()
        assert FileTokenStore(home / "a" / "b" / "t.json").load() == some_token()

    as_ordinary_user(try_it)


@needs_two_users
def test_a_link_of_ones_own_or_of_root_is_followed(sticky: Path, home: Path) -> None:
    def try_it() -> None:
        FileTokenStore(home / "t.json").save(some_token())
        (home / "mine").symlink_to(home)
        assert FileTokenStore(home / "mine" / "t.json").load() == some_token()
        assert FileTokenStore(sticky / "of-root" / "t.json").load() == some_token()

    (sticky / "of-root").symlink_to(home)
    as_ordinary_user(try_it)


@needs_two_users
def test_a_link_of_ones_own_to_a_link_of_others_is_refused(sticky: Path, home: Path) -> None:
    plant(sticky / "theirs", home / ".ssh" / "authorized_keys")
    (sticky / "mine").symlink_to("theirs")
    with pytest.raises(StoreError, match=f"theirs is a symbolic link that belongs to user {ATTACKER}"):
        FileTokenStore(sticky / "mine").load()


@needs_two_users
@pytest.mark.parametrize("target", ["none.json", "none/t.json"])
def test_a_link_of_others_to_no_file_yet_is_refused(sticky: Path, home: Path, target: str) -> None:
    plant(sticky / "aries.json", home / target)

    def try_it() -> None:
        store = FileTokenStore(sticky / "aries.json")
        for act in (store.load, lambda: store.save(some_token("x")), store.delete):
            with pytest.raises(StoreError, match=f"symbolic link that belongs to user {ATTACKER}"):
                act()

    as_ordinary_user(try_it)
    assert [path.name for path in home.iterdir()] == [".ssh"]


@needs_two_users
@pytest.mark.parametrize("planted", ["link", "file", "temporary file", "lock"])
def test_what_others_put_at_the_target_of_ones_own_link_is_not_used(sticky: Path, home: Path, planted: str) -> None:
    keys = home / ".ssh" / "authorized_keys"
    before = keys.read_bytes()
    (home / "mine").symlink_to(sticky / "t.json")
    os.lchown(home / "mine", NOBODY, NOBODY)
    names = {"link": "t.json", "file": "t.json", "temporary file": ".t.json.tmp", "lock": "t.json.lock"}
    plant(sticky / names[planted], keys)
    if planted == "file":
        (sticky / "t.json").unlink()
        (sticky / "t.json").touch(0o600)
        os.chown(sticky / "t.json", ATTACKER, ATTACKER)

    def try_it() -> None:
        with pytest.raises(StoreError):
            FileTokenStore(home / "mine").save(some_token("x"))

    as_ordinary_user(try_it)
    assert keys.read_bytes() == before


def test_logout_and_login_again_through_a_link_of_ones_own(tmp_path: Path) -> None:
    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "aries_auth", *args, "--store", str(tmp_path / "l.json")],
            env=clean_environment(tmp_path, PYTHONPATH=str(ROOT)),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    FileTokenStore(tmp_path / "real.json").save(some_token())
    (tmp_path / "l.json").symlink_to("real.json")
    assert run("logout").returncode == 0
    assert not (tmp_path / "real.json").exists()
    status = run("status")
    assert status.returncode == 3, status.stderr
    assert run("token").returncode == 3
    again = run("logout")
    assert (again.returncode, "nothing to delete" in again.stderr) == (0, True), again.stderr
    FileTokenStore(tmp_path / "l.json").save(some_token("x"))
    assert FileTokenStore(tmp_path / "real.json").load() == some_token("x")


@needs_two_users
def test_a_folder_that_is_swapped_for_a_link_while_it_is_made_is_refused(
    sticky: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aries_auth.store import folder as folder_module

    real = folder_module.make_folder

    def make_and_lose(folder: str) -> None:
        plant(Path(folder), home / ".ssh")
        real(folder)

    monkeypatch.setattr(folder_module, "make_folder", make_and_lose)
    with pytest.raises(StoreError, match="symbolic link"), FileTokenStore(sticky / "new" / "t.json").locked():
        pass
    assert [path.name for path in (home / ".ssh").iterdir()] == ["authorized_keys"]


@pytest.mark.parametrize("above", [False, True])
@pytest.mark.parametrize("content", [b"ssh-ed25519 AAAA\n", b"{}", b""])
def test_what_is_unreadable_is_never_removed_through_a_link_not_even_through_ones_own(
    tmp_path: Path, content: bytes, above: bool
) -> None:
    folder = tmp_path / "real"
    folder.mkdir()
    keys = folder / "keys"
    keys.touch(0o600)
    keys.write_bytes(content)
    link = tmp_path / "link"
    link.symlink_to(folder if above else keys)
    store = FileTokenStore(link / "keys" if above else link)
    with pytest.raises(StoreError, match=r"through a symbolic link to .*keys.* Nothing was removed"):
        store.delete()
    assert keys.read_bytes() == content
    assert link.is_symlink()
    FileTokenStore(keys).delete()
    assert not keys.exists()


def test_a_token_of_ones_own_is_removed_through_ones_own_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "t.json")
    FileTokenStore(tmp_path / "t.json").save(some_token())
    FileTokenStore(tmp_path / "link").delete()
    assert not (tmp_path / "t.json").exists()
    assert (tmp_path / "link").is_symlink()


def test_links_are_followed_as_the_system_follows_them(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "a" / "b" / "two").symlink_to("../../a/./b/../b")
    (tmp_path / "absolute").symlink_to(tmp_path / "a" / "b" / "two")
    for path in ("a/b/t.json", "a/up/a/b/t.json", "a/b/two/two/t.json", "absolute/t.json", "a/b/none/t.json"):
        given = str(tmp_path / path)
        assert resolve(given).path == os.path.realpath(given)
        assert resolve(given).linked is (os.path.realpath(given) != given)
