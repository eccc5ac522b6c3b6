"""FileTokenStore: one grant in one file."""

from __future__ import annotations

import copy
import errno
import json
import os
import pickle
import stat
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aries_auth import AriesAuth, ConfigurationError, FileTokenStore, LockTimeout, StoreError, Token, TokenStore
from aries_auth.store import profile_path, store_name
from tests.inside import store_of
from tests.leaks import assert_no_secret
from tests.store.conftest import (
    ACCESS,
    IS_ROOT,
    NOBODY,
    REFRESH,
    Child,
    as_ordinary_user,
    descriptors,
    fernet,
    fill,
    largest_file,
    mode_of,
    some_token,
    umask,
)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def put(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(0o600)
    path.write_bytes(content)
    path.chmod(mode)


GOOD = json.dumps(some_token().to_dict()).encode()


# Load, save, delete


def test_nothing_stored_is_none(store: FileTokenStore, path: Path) -> None:
    assert store.load() is None
    assert not path.parent.exists()


def test_what_is_saved_is_loaded(store: FileTokenStore, path: Path) -> None:
    store.save(some_token())
    assert store.load() == some_token()
    assert names(path) == ["t.json", "t.json.lock"]


def test_a_save_replaces(store: FileTokenStore) -> None:
    store.save(some_token())
    store.save(some_token("another"))
    loaded = store.load()
    assert loaded is not None
    assert loaded.access_token == "another"


def test_delete_removes_the_file_and_does_nothing_where_there_is_none(store: FileTokenStore, path: Path) -> None:
    store.delete()
    assert not path.parent.exists()
    store.save(some_token())
    store.delete()
    store.delete()
    assert store.load() is None
    assert names(path) == ["t.json.lock"]


def test_delete_removes_what_a_crash_left(store: FileTokenStore, path: Path) -> None:
    store.save(some_token())
    path.with_name(".t.json.tmp").write_text("left")
    store.delete()
    assert names(path) == ["t.json.lock"]


def test_delete_removes_the_file_before_what_stands_beside_it(store: FileTokenStore, path: Path) -> None:
    store.save(some_token())
    path.with_name(".t.json.tmp").mkdir()
    with pytest.raises(StoreError, match=r"\.t\.json\.tmp can't be removed"):
        store.delete()
    assert not path.exists()


def test_the_file_is_the_designs_to_the_letter(store: FileTokenStore, path: Path) -> None:
    token = Token(
        "a", "r", scope="s", client_id="c", redirect_uri="u", obtained_at=1764000000.0, expires_at=1764003600.0
    )
    store.save(token)
    assert path.read_text().splitlines() == [
        "{",
        '  "version": 1,',
        '  "client_id": "c",',
        '  "redirect_uri": "u",',
        '  "token_url": null,',
        '  "access_token": "a",',
        '  "refresh_token": "r",',
        '  "token_type": "Bearer",',
        '  "scope": "s",',
        '  "obtained_at": 1764000000.0,',
        '  "expires_at": 1764003600.0,',
        '  "refresh_token_expires_at": null',
        "}",
    ]


def test_unknown_keys_are_kept_as_they_are_through_a_refresh(store: FileTokenStore, path: Path) -> None:
    put(path, json.dumps({"note": {"by": ["hand", 1]}, **some_token().to_dict()}).encode())
    with store.locked() as entry:
        spent = entry.load()
        entry.reserve()
        entry.save(Token.from_response({"access_token": "new", "refresh_token": "r2"}, now=1.0, previous=spent))
    document = json.loads(path.read_text())
    assert document["note"] == {"by": ["hand", 1]}
    assert document["access_token"] == "new"


def test_unknown_keys_are_kept_where_a_login_saves_over_a_file(store: FileTokenStore, path: Path) -> None:
    put(path, json.dumps({**some_token().to_dict(), "note": "keep"}).encode())
    store.save(Token("login"))
    assert json.loads(path.read_text())["note"] == "keep"


def test_unknown_keys_go_with_a_delete(store: FileTokenStore, path: Path) -> None:
    put(path, json.dumps({**some_token().to_dict(), "note": "keep"}).encode())
    with store.locked() as entry:
        entry.load()
        entry.delete()
        entry.save(some_token())
    assert "note" not in json.loads(path.read_text())


def test_it_is_a_token_store() -> None:
    store: TokenStore = FileTokenStore("t.json")
    assert store_name(store) == str(Path.cwd() / "t.json")


# The path


def test_a_path_is_absolute_from_construction_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "USERPROFILE"):  # POSIX, Windows
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for path in ("t.json", Path("t.json"), b"t.json", "~/t.json", "./x/../t.json"):
        assert FileTokenStore(path).path == str(tmp_path / "t.json")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_path_of_bytes_has_its_lock_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FileTokenStore(b"t.json").save(some_token())  # type: ignore[arg-type]
    assert names(tmp_path / "t.json") == ["t.json", "t.json.lock"]


@pytest.mark.parametrize("path", ["", b"", "a\0b"])
def test_a_path_that_names_no_file_is_a_configuration_error(path: Any) -> None:
    with pytest.raises(ConfigurationError, match="path"):
        FileTokenStore(path)


@pytest.mark.posix("variables that say where a user's data is kept")
def test_the_default_folder_is_that_of_platformdirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert profile_path("paper") == str(tmp_path / "aries-auth" / "paper.json")


def test_it_pickles_and_copies(path: Path) -> None:
    store = FileTokenStore(path, mode=0o640, lock_timeout=3.0)
    for there in (pickle.loads(pickle.dumps(store)), copy.deepcopy(store), copy.copy(store)):
        assert vars(there) == vars(store)
        there.save(some_token())
        assert there.load() == some_token()


def test_an_auth_with_an_encrypted_store_pickles_and_its_keys_travel(path: Path) -> None:
    Fernet = fernet()
    store = FileTokenStore(path, cipher=Fernet(Fernet.generate_key()))
    store.save(some_token())
    there = pickle.loads(pickle.dumps(AriesAuth("c", "s", "http://localhost/", store=store)))
    assert store_of(there).load() == some_token()
    assert "raw keys" in (FileTokenStore.__doc__ or "")


def test_a_forked_child_neither_saves_nor_deletes_what_its_parent_holds(store: FileTokenStore) -> None:
    store.save(some_token())
    with store.locked() as entry:
        entry.reserve()

        def try_it() -> None:
            for act in (entry.delete, lambda: entry.save(some_token("of-the-child"))):
                with pytest.raises(StoreError, match="locked by the process that forked this one"):
                    act()
            entry.end()

        assert Child(try_it).wait() == 0
        with pytest.raises(LockTimeout), store.locked(0):
            pass
        entry.save(some_token("x"))
    assert store.load() == some_token("x")


def test_repr_shows_the_path_and_no_key(path: Path) -> None:
    Fernet = fernet()
    assert repr(FileTokenStore(path, cipher=Fernet(Fernet.generate_key()))) == f"FileTokenStore({str(path)!r})"


# Private from creation on


@pytest.mark.posix("permission bits")
@pytest.mark.parametrize("bits", [0, 0o022, 0o277, 0o777])
def test_folder_0700_file_and_lock_0600_from_creation_on_whatever_the_umask(
    store: FileTokenStore, path: Path, bits: int
) -> None:
    with umask(bits), store.locked() as entry:
        entry.reserve()
        assert mode_of(path.with_name(".t.json.tmp")) == 0o600
        entry.save(some_token())
    assert (mode_of(path.parent), mode_of(path), mode_of(path.with_name("t.json.lock"))) == (0o700, 0o600, 0o600)
    assert store.load() == some_token()


@pytest.mark.posix("permission bits")
@pytest.mark.parametrize("bits", [0, 0o777])
def test_an_ordinary_user_can_work_under_a_hostile_umask(open_folder: Path, bits: int) -> None:
    def try_it() -> None:
        os.umask(bits)
        store = FileTokenStore(open_folder / "a" / "b" / "t.json")
        for number in range(2):
            store.save(some_token(f"t{number}"))
        assert store.load() == some_token("t1")

    as_ordinary_user(try_it)


@pytest.mark.posix("permission bits")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o666, 0o777, 0o700, 0o601])
def test_a_token_file_with_permission_bits_beyond_mode_is_refused_with_how_to_mend_it(
    store: FileTokenStore, path: Path, mode: int
) -> None:
    put(path, GOOD, mode)
    for act in (store.load, lambda: store.save(some_token("x"))):
        with pytest.raises(StoreError, match=f"mode {mode:04o}.*chmod 600 '{path}'"):
            act()
    assert (path.read_bytes(), mode_of(path)) == (GOOD, mode)


@pytest.mark.skipif(not IS_ROOT, reason="needs root, to give a file away")
def test_a_file_of_another_user_is_refused_with_any_mode(path: Path) -> None:
    store = FileTokenStore(path, mode=0o666)
    with umask(0o022):
        store.save(some_token())
    assert mode_of(path) == 0o644
    assert mode_of(path.with_name("t.json.lock")) == 0o600
    os.chown(path, NOBODY, -1)
    for act in (store.load, lambda: store.save(some_token("x"))):
        with pytest.raises(StoreError, match=f"belongs to user {NOBODY}"):
            act()


@pytest.mark.posix("permission bits")
def test_a_mode_that_lets_the_group_read_is_written_and_taken(path: Path) -> None:
    store = FileTokenStore(path, mode=0o640)
    with umask(0):
        store.save(some_token())
    assert mode_of(path) == 0o640
    assert store.load() == some_token()
    with pytest.raises(StoreError, match="chmod 600"):
        FileTokenStore(path).load()


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
def test_a_token_file_that_is_owned_by_somebody_else_is_refused(store: FileTokenStore, path: Path) -> None:
    put(path, GOOD)
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(StoreError, match=f"belongs to user {NOBODY}, not to you .*chown"):
        store.load()
    with pytest.raises(StoreError):
        store.save(some_token("x"))
    assert path.read_bytes() == GOOD


@pytest.mark.posix("permission bits")
def test_a_file_that_may_not_be_read_is_a_store_error_that_names_no_logout(open_folder: Path) -> None:
    def try_it() -> None:
        path = open_folder / "t.json"
        put(path, GOOD, 0o000)
        store = FileTokenStore(path)
        for act in (store.load, lambda: store.save(some_token("x"))):
            with pytest.raises(StoreError, match=r"Permission denied.* Make it readable for this user\.$"):
                act()

    as_ordinary_user(try_it)
    assert (open_folder / "t.json").stat().st_size == len(GOOD)


@pytest.mark.posix("permission bits")
def test_a_read_only_folder_is_found_out_by_the_reservation(open_folder: Path) -> None:
    def try_it() -> None:
        path = open_folder / "t.json"
        store = FileTokenStore(path)
        store.save(some_token())
        open_folder.chmod(0o500)
        with store.locked() as entry, pytest.raises(StoreError, match="Permission denied"):
            entry.reserve()
        for act in (lambda: store.save(some_token("x")), store.delete):
            with pytest.raises(StoreError, match="Permission denied"):
                act()
        assert store.load() == some_token()

    as_ordinary_user(try_it)


@pytest.mark.posix("permission bits")
def test_a_folder_that_became_read_only_after_the_reservation_leaves_the_old_token(open_folder: Path) -> None:
    def try_it() -> None:
        store = FileTokenStore(open_folder / "t.json")
        store.save(some_token())
        with store.locked() as entry:
            entry.reserve()
            open_folder.chmod(0o500)
            with pytest.raises(StoreError, match="could not be replaced"):
                entry.save(some_token("x"))
            assert store.load() == some_token()
            open_folder.chmod(0o700)
            entry.save(some_token("x"))
        assert store.load() == some_token("x")
        assert names(open_folder / "t.json") == ["t.json", "t.json.lock"]

    as_ordinary_user(try_it)


# What may stand in its place

UNREADABLE = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'{"version": 99, "access_token": "t"}',
    GOOD[:-5],
    GOOD.replace(b"1764003600.0", b"NaN"),
    GOOD.replace(b"1764003600.0", b"-1"),
    GOOD.replace(b"1764003600.0", b'"soon"'),
    b"\x00" * 100,
    b"[" * 100_000,
    GOOD.replace(b'"ACCESS-planted-1"', b'"\\ud800"'),
    b'{"version": 1, "ciphertext": "AAAA"}',
]


@pytest.mark.parametrize("content", UNREADABLE, ids=range(len(UNREADABLE)))
def test_unreadable_json_or_an_unknown_version_is_a_store_error_and_the_file_is_left_as_it_is(
    store: FileTokenStore, path: Path, content: bytes
) -> None:
    put(path, content)
    with pytest.raises(StoreError, match=r"can't be used: .* It was left as it is") as caught:
        store.load()
    assert str(path) in str(caught.value)
    assert_no_secret(caught.value, ACCESS, REFRESH)
    with store.locked() as entry:
        for act in (entry.load, entry.reserve, lambda: entry.save(some_token("x"))):
            with pytest.raises(StoreError):
                act()
    assert path.read_bytes() == content
    assert names(path) == ["t.json", "t.json.lock"]


@pytest.mark.parametrize("content", UNREADABLE, ids=range(len(UNREADABLE)))
def test_save_refuses_an_unreadable_file_too_and_delete_removes_it(
    store: FileTokenStore, path: Path, content: bytes
) -> None:
    put(path, content)
    with pytest.raises(StoreError):
        store.save(some_token())
    assert path.read_bytes() == content
    store.delete()
    assert store.load() is None


@pytest.mark.parametrize("content, fault", [(b"", "it is empty"), (b" ", "it is empty"), (b"{", "it is not JSON")])
def test_a_file_of_no_byte_or_one_is_told_for_what_it_is(
    store: FileTokenStore, path: Path, content: bytes, fault: str
) -> None:
    put(path, content)
    with pytest.raises(StoreError, match=fault):
        store.load()


def test_a_huge_file_is_refused_unread(store: FileTokenStore, path: Path) -> None:
    put(path, b"")
    os.truncate(path, 5 * 1024**3)
    with pytest.raises(StoreError, match="larger than 4194304 bytes"):
        store.load()
    os.truncate(path, 0)
    put(path, GOOD + b" " * (4 * 1024 * 1024 - len(GOOD)))
    assert store.load() == some_token()


def test_short_reads_are_continued(store: FileTokenStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(path, GOOD)
    real = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, _size: real(descriptor, 7))
    assert store.load() == some_token()


def test_a_read_that_fails_is_a_store_error(store: FileTokenStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(path, GOOD)

    def read(_descriptor: int, _size: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    before = descriptors()
    monkeypatch.setattr(os, "read", read)
    with pytest.raises(StoreError, match="Input/output error"):
        store.load()
    assert descriptors() == before


def test_a_close_that_fails_takes_nothing_from_what_was_read(
    store: FileTokenStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, GOOD)
    real = os.close

    def close(descriptor: int) -> None:
        real(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "close", close)
    assert store.load() == some_token()


def test_a_directory_in_its_place_is_a_store_error(store: FileTokenStore, path: Path) -> None:
    path.mkdir(parents=True)
    cure = r"Choose another path,.* or remove the directory yourself\.$"
    for act in (store.load, lambda: store.save(some_token()), store.delete):
        with pytest.raises(StoreError, match=cure) as caught:
            act()
        assert "aries-auth logout" not in str(caught.value)
    assert path.is_dir()
    assert names(path) == ["t.json", "t.json.lock"]


@pytest.mark.posix("named pipes in folders")
def test_a_fifo_in_its_place_is_a_store_error_without_waiting(store: FileTokenStore, path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path, 0o600)
    for act in (store.load, lambda: store.save(some_token())):
        with pytest.raises(StoreError, match="no regular file"):
            act()


@pytest.mark.posix("the longest name")
def test_a_name_that_is_too_long_says_to_choose_another(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"File name too long.* Choose another path"):
        FileTokenStore(tmp_path / ("x" * 300)).load()


@pytest.mark.skipif(not IS_ROOT, reason="needs root, to act as two users")
def test_what_one_may_not_remove_says_to_choose_another_path() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        put(folder / "mine.json", b"damaged")
        put(folder / "theirs.json", b"damaged")
        os.chown(folder / "mine.json", NOBODY, NOBODY)

        def read() -> None:
            with pytest.raises(StoreError, match=r"not JSON.* Choose another path, in a folder that you may write in"):
                FileTokenStore(folder / "mine.json").load()

        def remove() -> None:
            with pytest.raises(StoreError, match=r"can't be removed: .* Choose another path, or have its owner remove"):
                FileTokenStore(folder / "theirs.json").delete()

        folder.chmod(0o755)
        as_ordinary_user(read)
        folder.chmod(0o1777)
        as_ordinary_user(remove)


def test_a_file_in_place_of_its_folder_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("keep")
    store = FileTokenStore(tmp_path / "file" / "t.json")
    acts = [lambda: store.save(some_token())]
    if os.name == "posix":  # Windows says that there is no such file
        acts.append(store.load)
    for act in acts:
        with pytest.raises(StoreError) as caught:
            act()
        assert "aries-auth logout" not in str(caught.value)  # which would find nothing to remove
    store.delete()


# Symlinks


@pytest.mark.posix("symbolic links without a privilege")
def test_a_symlink_is_followed_to_its_target_which_is_what_gets_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "t.json", tmp_path / "link.json"
    FileTokenStore(target).save(some_token())
    link.symlink_to(target)
    store = FileTokenStore(link)
    assert store.load() == some_token()
    store.save(some_token("through the link".replace(" ", "-")))
    assert link.is_symlink()
    assert names(link) == ["link.json", "real"]
    assert names(target) == ["t.json", "t.json.lock"]
    assert FileTokenStore(target).load() == some_token("through-the-link")
    store.delete()
    assert (link.is_symlink(), target.exists()) == (True, False)


@pytest.mark.posix("symbolic links without a privilege")
def test_a_link_and_its_target_share_one_lock(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "t.json", tmp_path / "link.json"
    FileTokenStore(target).save(some_token())
    link.symlink_to(target)
    with FileTokenStore(link).locked(), pytest.raises(LockTimeout), FileTokenStore(target).locked(0):
        pass


@pytest.mark.posix("symbolic links without a privilege")
def test_a_folder_that_is_a_symlink_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    FileTokenStore(tmp_path / "link" / "t.json").save(some_token())
    assert names(tmp_path / "real" / "t.json") == ["t.json", "t.json.lock"]


@pytest.mark.posix("symbolic links without a privilege")
def test_a_store_is_usable_after_a_delete_through_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "t.json", tmp_path / "link.json"
    FileTokenStore(target).save(some_token())
    link.symlink_to("t.json")
    store = FileTokenStore(link)
    store.delete()
    assert store.load() is None
    store.delete()  # nothing is there: nothing happens
    store.save(some_token("again"))
    assert (store.load(), FileTokenStore(target).load()) == (some_token("again"), some_token("again"))
    assert link.is_symlink()
    assert mode_of(target) == 0o600


@pytest.mark.posix("symbolic links without a privilege")
@pytest.mark.parametrize("to", ["t.json", "new/folder/t.json", "second-link.json"])
def test_a_link_made_before_the_first_save_leads_to_the_file_that_a_save_makes(tmp_path: Path, to: str) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(to)
    (tmp_path / "second-link.json").symlink_to("new/t.json")
    target = Path(os.path.realpath(link))
    store = FileTokenStore(link)
    assert store.load() is None
    store.delete()
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")) == [
        "link.json",
        "second-link.json",
    ]
    with store.locked() as entry:
        entry.reserve()
        entry.save(some_token())
    assert store.load() == FileTokenStore(target).load() == some_token()
    assert (link.is_symlink(), mode_of(target)) == (True, 0o600)
    assert target.parent == tmp_path or mode_of(target.parent) == 0o700


@pytest.mark.posix("symbolic links without a privilege")
def test_a_loop_of_symlinks_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for act in (FileTokenStore(tmp_path / "a").load, lambda: FileTokenStore(tmp_path / "a").save(some_token())):
        with pytest.raises(StoreError):
            act()


def test_a_second_name_of_the_file_keeps_the_old_token(store: FileTokenStore, path: Path) -> None:
    store.save(some_token())
    os.link(path, path.with_name("second"))
    store.save(some_token("x"))
    assert json.loads(path.with_name("second").read_text())["access_token"] == ACCESS


# Locked and reserved


def test_locked_waits_lock_timeout_where_nothing_else_is_said_and_zero_tries_once(path: Path) -> None:
    store = FileTokenStore(path, lock_timeout=0.05)
    with store.locked():
        for act in (lambda: store.save(some_token()), store.delete, lambda: store.locked(0).__enter__()):
            with pytest.raises(LockTimeout):
                act()
        with pytest.raises(LockTimeout, match=r"within 0\.05 s"), store.locked():
            pass
        with pytest.raises(LockTimeout, match=r"within 0\.01 s"), store.locked(0.01):
            pass


def test_load_needs_no_lock(store: FileTokenStore) -> None:
    store.save(some_token())
    with store.locked():
        assert store.load() == some_token()


def test_the_entry_loads_saves_and_deletes_under_the_lock(store: FileTokenStore) -> None:
    with store.locked() as entry:
        assert entry.load() is None
        entry.save(some_token())
        assert entry.load() == some_token()
        entry.save(some_token("x"))
        entry.delete()
        assert entry.load() is None


def test_a_reservation_that_is_not_used_is_gone_after_the_block(store: FileTokenStore, path: Path) -> None:
    with store.locked() as entry:
        entry.reserve()
        assert ".t.json.tmp" in names(path)
    assert names(path) == ["t.json.lock"]
    with suppress(ZeroDivisionError), store.locked() as entry:
        entry.reserve()
        raise ZeroDivisionError
    assert names(path) == ["t.json.lock"]


def test_an_entry_that_is_kept_after_its_block_does_nothing(store: FileTokenStore, path: Path) -> None:
    with store.locked() as kept:
        kept.save(some_token("spent"))
    with store.locked() as holder:
        holder.save(some_token("rotated"))
        before = names(path)
        for act in (kept.load, kept.reserve, lambda: kept.save(some_token("old")), kept.delete):
            with pytest.raises(StoreError, match=r"block of .* has ended.*Call locked\(\) again") as caught:
                act()
            assert str(path) in str(caught.value)
        assert names(path) == before
        assert holder.load() == some_token("rotated")


def test_reserve_leaves_the_stored_token_as_it_is(store: FileTokenStore) -> None:
    store.save(some_token())
    with store.locked() as entry:
        entry.reserve()
        assert store.load() == some_token()
    assert store.load() == some_token()


def test_reserve_proves_that_a_save_will_succeed_on_a_full_disk(full_disk: Path) -> None:
    store = FileTokenStore(full_disk / "t.json")
    store.save(some_token())
    with store.locked() as entry:
        entry.reserve()
        fill(full_disk)
        entry.save(some_token("x" * 4000, refresh_token="y" * 4000))
    loaded = store.load()
    assert loaded is not None
    assert loaded.access_token == "x" * 4000


def test_reserve_makes_room_for_the_unknown_keys_that_are_kept(full_disk: Path) -> None:
    store = FileTokenStore(full_disk / "t.json")
    put(full_disk / "t.json", json.dumps({**some_token().to_dict(), "note": "n" * 20_000}).encode())
    with store.locked() as entry:
        entry.reserve()
        fill(full_disk)
        entry.save(some_token("x"))
    loaded = store.load()
    assert loaded is not None
    assert loaded.extra["note"] == "n" * 20_000


def test_no_space_is_a_store_error_of_the_reservation_with_nothing_changed(full_disk: Path) -> None:
    path = full_disk / "t.json"
    store = FileTokenStore(path)
    store.save(some_token())
    filler = fill(full_disk)
    with store.locked() as entry:
        with pytest.raises(StoreError, match=r"No space left on device.*Nothing was changed"):
            entry.reserve()
        assert names(path) == ["filler", "t.json", "t.json.lock"]
        assert entry.load() == some_token()
        filler.unlink()
        entry.reserve()
        entry.save(some_token("x"))
    assert store.load() == some_token("x")


def test_a_quota_is_a_store_error_of_the_reservation(store: FileTokenStore, path: Path) -> None:
    store.save(some_token())

    def try_it() -> None:
        with largest_file(1024), store.locked() as entry, pytest.raises(StoreError, match="File too large"):
            entry.reserve()
        assert store.load() == some_token()

    assert Child(try_it).wait() == 0
    assert names(path) == ["t.json", "t.json.lock"]


def test_reserve_finds_out_a_cipher_that_cannot_encrypt(path: Path) -> None:
    class Broken:
        def encrypt(self, data: bytes) -> bytes:
            raise RuntimeError(f"no key for {data!r}")

        def decrypt(self, token: bytes) -> bytes:
            raise NotImplementedError

    with FileTokenStore(path, cipher=Broken()).locked() as entry, pytest.raises(StoreError, match="RuntimeError"):
        entry.reserve()
    assert names(path) == ["t.json.lock"]


def test_reserve_finds_out_an_unknown_key_that_could_not_be_written(store: FileTokenStore, path: Path) -> None:
    put(path, GOOD[:-1] + b', "note": 1e999}')
    assert store.load() == some_token()
    with store.locked() as entry, pytest.raises(StoreError, match="no JSON"):
        entry.reserve()


@pytest.mark.posix("removes a file that is open")
def test_a_folder_removed_between_reserve_and_save_is_made_again(store: FileTokenStore, path: Path) -> None:
    store.save(some_token())
    with store.locked() as entry:
        entry.reserve()
        for name in names(path):
            path.with_name(name).unlink()
        path.parent.rmdir()
        entry.save(some_token("x"))
    assert (store.load(), mode_of(path)) == (some_token("x"), 0o600)
    assert names(path) == ["t.json"]
    store.save(some_token("y"))


def test_a_file_replaced_by_a_directory_between_reserve_and_save_is_a_store_error(
    store: FileTokenStore, path: Path
) -> None:
    with store.locked() as entry:
        entry.reserve()
        path.mkdir()
        with pytest.raises(StoreError, match="could not be replaced"):
            entry.save(some_token())
        path.rmdir()
        entry.save(some_token())
    assert store.load() == some_token()


def test_what_a_crash_left_beside_the_file_is_cleaned_up_by_the_next_writer(store: FileTokenStore, path: Path) -> None:
    store.save(some_token())
    path.with_name(".t.json.tmp").write_bytes(GOOD[:50])
    assert store.load() == some_token()
    store.save(some_token("x"))
    assert names(path) == ["t.json", "t.json.lock"]


@pytest.mark.parametrize("call", ["write", "ftruncate", "replace", "fsync"])
def test_no_error_of_a_save_shows_a_token_in_any_frame(
    store: FileTokenStore, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    store.save(some_token("old-token"))
    with store.locked() as entry:
        entry.reserve()
        monkeypatch.setattr(os, call, fail)
        with pytest.raises(StoreError) as caught:
            entry.save(some_token())
        monkeypatch.undo()
    assert_no_secret(caught.value, ACCESS, REFRESH, "old-token")


def test_a_failed_save_can_be_repeated_in_the_same_block(
    store: FileTokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = os.replace, [2]

    def replace(source: str, target: str) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with store.locked() as entry:
        entry.reserve()
        for _ in range(2):
            with pytest.raises(StoreError):
                entry.save(some_token())
        entry.save(some_token())
    assert store.load() == some_token()


def test_neither_load_nor_save_leaves_a_descriptor(store: FileTokenStore) -> None:
    before = descriptors()
    for number in range(5):
        store.save(some_token(f"t{number}"))
        store.load()
        with store.locked() as entry:
            entry.reserve()
    store.delete()
    assert descriptors() == before


# Encrypted


def test_an_encrypted_store_is_read_with_its_key_alone(path: Path) -> None:
    Fernet = fernet()
    cipher = Fernet(Fernet.generate_key())
    FileTokenStore(path, cipher=cipher).save(some_token())
    assert FileTokenStore(path, cipher=cipher).load() == some_token()
    assert ACCESS.encode() not in path.read_bytes()
    raw = path.read_bytes()
    for other in (FileTokenStore(path), FileTokenStore(path, cipher=Fernet(Fernet.generate_key()))):
        with pytest.raises(StoreError, match="aries-auth rekey"):
            other.load()
        with pytest.raises(StoreError, match="aries-auth rekey"):
            other.save(some_token("x"))
    assert path.read_bytes() == raw


def test_a_plain_file_where_a_cipher_is_given_is_a_store_error(store: FileTokenStore, path: Path) -> None:
    Fernet = fernet()
    store.save(some_token())
    with pytest.raises(StoreError, match="not encrypted: `aries-auth rekey`"):
        FileTokenStore(path, cipher=Fernet(Fernet.generate_key())).load()


@pytest.mark.parametrize(
    "given, says",
    [
        ({"path": 5}, "must be a text or a path, not int"),
        ({"mode": "0600"}, "mode must be permission bits such as 0o600 .* not '0600'"),
        ({"mode": 600}, "mode must be permission bits"),
        ({"mode": 0o400}, "let the owner read and write"),
        ({"mode": -1}, "mode must be"),
        ({"mode": True}, "mode must be"),
        ({"mode": None}, "mode must be"),
        ({"lock_timeout": -1}, "lock_timeout must be zero or more seconds"),
        ({"lock_timeout": "45"}, "lock_timeout must be a number of seconds"),
        ({"lock_timeout": None}, "lock_timeout must be a number of seconds"),
        ({"lock_timeout": float("nan")}, "lock_timeout must be a number of seconds"),
    ],
)
def test_a_malformed_parameter_is_refused_when_it_is_given(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        FileTokenStore(**{"path": "t.json", **given})
    if "path" not in given:
        with pytest.raises(ConfigurationError, match=says):
            FileTokenStore.for_profile(**given)


class HalfACipher:
    def encrypt(self, data: bytes) -> bytes:
        return data


@pytest.mark.parametrize(
    "cipher, says",
    [
        (5, "not an object of type int, which has no encrypt and no decrypt"),
        ("SECRET-key-given-as-cipher", "type str, which has no encrypt"),
        (b"SECRET-key-given-as-cipher", "type bytes"),
        (HalfACipher(), "type HalfACipher, which has no decrypt"),
        (HalfACipher, "not the class HalfACipher itself"),
    ],
    ids=["int", "str", "bytes", "half", "class"],
)
def test_what_is_no_cipher_is_refused_when_it_is_given_and_is_not_shown(cipher: Any, says: str) -> None:
    for make in (partial(FileTokenStore, "t.json"), FileTokenStore.for_profile):
        with pytest.raises(ConfigurationError, match=says) as caught:
            make(cipher=cipher)
        assert_no_secret(caught.value, "SECRET-key-given-as-cipher")


def test_the_parameters_that_a_store_may_be_given_pass() -> None:
    made = FileTokenStore(b"t.json", mode=stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP, lock_timeout=0)
    assert (made.mode, made.lock_timeout, made.cipher) == (0o640, 0.0, None)
