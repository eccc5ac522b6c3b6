"""What keeps a file from being replaced, found out before a refresh token is spent: each fault with its cure."""

from __future__ import annotations

import os
import stat
import struct
import sys
from contextlib import suppress
from typing import NamedTuple

from aries_auth.store.private import allowed_mode
from aries_auth.store.system import effective_user, open_flags

_DESCRIPTORS, _MOUNTS = "/proc/self/fdinfo", "/proc/self/mountinfo"
_NAME_ALONE = open_flags("O_PATH", "O_NOFOLLOW")
_TO_READ = open_flags("O_RDONLY", "O_NONBLOCK", "O_NOFOLLOW")
_GET_FLAGS = 0x80086601 if struct.calcsize("l") == 8 else 0x80046601  # FS_IOC_GETFLAGS of linux/fs.h
_IMMUTABLE, _APPEND_ONLY = 0x10, 0x20
_CURE = (
    {"immutable": "chattr -i", "append-only": "chattr -a"}
    if sys.platform.startswith("linux")
    else {"immutable": "chflags nouchg,noschg", "append-only": "chflags nouappnd,nosappnd"}
)


def replace_fault(path: str) -> str:
    """What would make a replacement of this file fail; "" if nothing does. `path` has no link in it."""
    folder = os.path.dirname(path)
    own, above = _standing(path), _standing(folder)
    if _is_mount_point(path, own.mount, above.mount):
        return (
            "it is itself a mount point (a file that was bind-mounted, or a subPath), so no other file can be put in "
            "its place. Mount the folder that holds it instead"
        )
    for held, what, flag in ((path, "it", own.protection), (folder, "its folder", above.protection)):
        if flag:
            return f"{what} is {flag}, also for root. Run: {_CURE[flag]} {held!r}"
    return ""


def permission_fault(status: os.stat_result, mode: int) -> str:
    """What keeps a file that was just made with `mode` from being private: its filesystem does as it likes."""
    user = effective_user()
    if user is None:
        return ""
    if status.st_uid != user:
        return (
            f"its filesystem gives new files to user {status.st_uid}, not to you. Keep the token file on another "
            "filesystem, or mount this one with your uid"
        )
    bits = stat.S_IMODE(status.st_mode)
    if bits & ~mode:
        return (
            f"its filesystem keeps no permissions: a file made with mode {mode:04o} has {bits:04o}, so others may read "
            f"it. Keep the token file on another filesystem. If others are meant to read it, say so with "
            f"{allowed_mode(bits)}"
        )
    return ""


class _Standing(NamedTuple):
    """How a file or folder stands: the id of the mount that it is in, and what its filesystem protects it from."""

    mount: bytes = b""  # the system does not tell
    protection: str = ""  # or `immutable`, or `append-only`; root can't replace it either


def _standing(path: str) -> _Standing:
    try:
        if not sys.platform.startswith("linux"):
            flags = getattr(os.lstat(path), "st_flags", 0)
            immutable, append_only = stat.UF_IMMUTABLE | stat.SF_IMMUTABLE, stat.UF_APPEND | stat.SF_APPEND
            return _Standing(protection=_protection(flags, immutable, append_only))
        descriptor = _open(path)
    except OSError:
        return _Standing()  # not there
    try:
        return _Standing(_mount_of(descriptor), _protection(_linux_flags(descriptor), _IMMUTABLE, _APPEND_ONLY))
    finally:
        with suppress(OSError):
            os.close(descriptor)


def _open(path: str) -> int:
    try:
        return os.open(path, _TO_READ)
    except PermissionError:
        return os.open(path, _NAME_ALONE)


def _protection(flags: int, immutable: int, append_only: int) -> str:
    """What chattr or chflags has set."""
    return "immutable" if flags & immutable else "append-only" if flags & append_only else ""


def _linux_flags(descriptor: int) -> int:
    if sys.platform == "win32":
        return 0
    import fcntl  # noqa: PLC0415 - not there on Windows

    try:
        answer = fcntl.ioctl(descriptor, _GET_FLAGS, struct.pack("l", 0))
    except OSError:
        return 0  # a filesystem without such flags
    return int(struct.unpack_from("i", answer)[0])  # an int is written, whatever the macro says


def _mount_of(descriptor: int) -> bytes:
    """The id of the mount that it is in (proc(5), "fdinfo"), or b"" if the system does not tell.

    Asked first: the list of all mounts is long on a host of many containers.
    """
    try:
        lines = os.open(f"{_DESCRIPTORS}/{descriptor}", _TO_READ)
        try:
            _, _, rest = os.read(lines, 1024).partition(b"\nmnt_id:")
        finally:
            os.close(lines)
    except OSError:
        return b""
    return rest.partition(b"\n")[0].strip()


def _is_mount_point(path: str, own: bytes, above: bytes) -> bool:
    """Whether something is mounted at this path; `own` and `above` are the mounts that it and its folder are in."""
    if own and above:
        return own != above
    mounted = _mount_points()
    if mounted is not None:
        return path in mounted
    try:
        # Elsewhere than on Linux; there a file of an overlay may have another device than its folder.
        return os.lstat(path).st_dev != os.lstat(os.path.dirname(path)).st_dev
    except OSError:
        return False


def _mount_points() -> set[str] | None:
    """The mount points of this process (proc(5), field 5), or None if the system does not tell."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as lines:
            return {_unescaped(line.split(" ")[4]) for line in lines}
    except (OSError, IndexError):
        return None


def _unescaped(text: str) -> str:
    # The kernel writes space, tab, newline and backslash as three octal digits.
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
