"""Folders above a token file: private from creation on, whoever else makes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aries_auth import StoreError
from aries_auth.store.folder import make_folder
from tests.store.conftest import as_ordinary_user, mode_of, umask


@pytest.mark.posix("permission bits")
@pytest.mark.parametrize("bits", [0, 0o022, 0o777])
def test_a_folder_and_those_above_it_are_0700_from_creation_on_whatever_the_umask(tmp_path: Path, bits: int) -> None:
    with umask(bits):
        make_folder(str(tmp_path / "a" / "b" / "c"))
    assert [mode_of(tmp_path / name) for name in ("a", "a/b", "a/b/c")] == [0o700] * 3


@pytest.mark.posix("permission bits")
def test_a_folder_made_in_a_set_group_id_folder_keeps_what_it_inherits(tmp_path: Path) -> None:
    tmp_path.chmod(0o2755)
    make_folder(str(tmp_path / "a"))
    assert mode_of(tmp_path / "a") == 0o2700


@pytest.mark.posix("permission bits")
def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_folder(str(tmp_path))
    assert mode_of(tmp_path) == 0o755


def test_a_file_in_place_of_a_folder_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("keep")
    with pytest.raises(StoreError, match="there is a file of that name"):
        make_folder(str(tmp_path / "a"))
    with pytest.raises(StoreError, match="can't be made"):
        make_folder(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a").read_text() == "keep"


def test_a_folder_that_somebody_else_makes_meanwhile_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.mkdir

    def make_and_lose(name: str, mode: int) -> None:
        real(name, mode)
        real(name, mode)

    monkeypatch.setattr(os, "mkdir", make_and_lose)
    make_folder(str(tmp_path / "a"))
    assert (tmp_path / "a").is_dir()


def test_a_folder_that_may_not_be_made_is_a_store_error(open_folder: Path) -> None:
    def try_it() -> None:
        open_folder.chmod(0o500)
        with pytest.raises(StoreError, match="Permission denied"):
            make_folder(str(open_folder / "a" / "b"))

    as_ordinary_user(try_it)
