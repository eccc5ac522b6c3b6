"""The real place of a file: paths made absolute, and the links on the way to it, each of which must be trusted."""

from __future__ import annotations

import os
import stat
import sys
from typing import NamedTuple

from aries_auth.errors import ConfigurationError, StoreError, printable
from aries_auth.store.system import effective_user

_MOST_LINKS = 40  # as Linux has it


class Place(NamedTuple):
    """A file's own path, free of links.

    Attributes:
        path: the path.
        linked: whether a link led there.
        has_folder: whether the folder above it was seen on the way.
    """

    path: str
    linked: bool
    has_folder: bool


def absolute(name: str) -> str:
    """The path made absolute, with ``~`` expanded. Asks the system for the working folder if it has to.

    Raises:
        ConfigurationError: there is no home folder to put in for ``~``.
    """
    expanded = os.path.expanduser(name)
    if expanded.startswith("~"):
        raise ConfigurationError(
            f"There is no home folder for the ~ in {printable(name)}: $HOME is not set, and this user has no entry in "
            "the system's list. Give an absolute path, or set $HOME."
        )
    return os.path.abspath(expanded)


def resolve(path: str) -> Place:
    """Follow the links at a path and above it.

    Whoever may write in a folder can plant a link in it. Such a link must not choose the file that we read, replace,
    make or remove, so a link is followed only if it belongs to this user or to root. One that leads to no file yet is
    followed like any other: after a logout, and before the first login, the file is to be made where it points.

    Raises:
        StoreError: a link belongs to somebody else, or leads in a circle.
    """
    return _walk_windows(path) if sys.platform == "win32" else _walk(path)


def _walk_windows(path: str) -> Place:
    # Only an administrator may make links there.
    linked = os.path.islink(path)
    target = os.path.realpath(path) if linked else path
    return Place(target, linked, os.path.isdir(os.path.dirname(target)))


def _walk(path: str) -> Place:
    trusted = (effective_user(), 0)
    done, left = os.sep, path.split(os.sep)[::-1]
    links = 0
    has_folder = is_folder = True
    while left:
        name = left.pop()
        if name in ("", os.curdir):
            continue
        if name == os.pardir:
            done, is_folder = os.path.dirname(done), True
            continue
        here = os.path.join(done, name)
        mode, target = _look_at(here, trusted)
        if target is None:
            done, has_folder, is_folder = here, is_folder, stat.S_ISDIR(mode)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise StoreError(f"The symbolic links at {path} lead in a circle. Remove them.")
        done = os.sep if target.startswith(os.sep) else done
        left.extend(target.split(os.sep)[::-1])
    return Place(done, links > 0, has_folder)


def _look_at(path: str, trusted: tuple[int | None, ...]) -> tuple[int, str | None]:
    """The mode of what stands there (0: nothing to be seen; whoever opens it will say so), and a link's target."""
    try:
        status = os.lstat(path)
        if not stat.S_ISLNK(status.st_mode):
            return status.st_mode, None
        target = os.readlink(path)
    except OSError:
        return 0, None
    if trusted[0] is not None and status.st_uid not in trusted:
        raise StoreError(
            f"{path} is a symbolic link that belongs to user {status.st_uid}, and is not followed: whoever made it "
            "would choose which file is read, replaced or removed. Remove the link, or use a folder of your own."
        )
    return status.st_mode, target
