"""What keeps a file from being replaced, found out before a refresh token is spent: each fault with its cure."""

from __future__ import annotations

import os
import stat
import struct
import sys
from contextlib import suppress

from aries_auth.store.path import effective_user
from aries_auth.store.private import allowed_mode

_DESCRIPTORS, _MOUNTS = "/proc/self/fdinfo", "/proc/self/mountinfo"
_NAME_ALONE = sum(getattr(os, name, 0) for name in ("O_PATH", "O_NOFOLLOW", "O_CLOEXEC"))
_GET_FLAGS = 0x80086601 if struct.calcsize("l") == 8 else 0x80046601  # FS_IOC_GETFLAGS of linux/fs.h
_IMMUTABLE, _APPEND_ONLY = 0x10, 0x20
_CURE = (
    {"immutable": "chattr -i", "append-only": "chattr -a"}
    if sys.platform.startswith("linux")
    else {"immutable": "chflags nouchg,noschg", "append-only": "chflags nouappnd,nosappnd"}
)


def replace_fault(path: str) -> str:
    """What would make a replacement of this file fail; "" if nothing does. `path` has no link in it."""
    if is_mount_point(path):
        return (
            "it is itself a mount point (a file that was bind-mounted, or a subPath), so no other file can be put in "
            "its place. Mount the folder that holds it instead"
        )
    for held, what in ((path, "it"), (os.path.dirname(path), "its folder")):
        flag = _protection(held)
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


def is_mount_point(path: str) -> bool:
    """Whether another file or folder is mounted at this path."""
    folder = os.path.dirname(path)
    own, above = _mount_of(path), _mount_of(folder)
    if own and above:
        return own != above
    mounted = _mount_points()
    if mounted is not None:
        return path in mounted
    try:
        # Elsewhere than on Linux; there a file of an overlay may have another device than its folder.
        return os.lstat(path).st_dev != os.lstat(folder).st_dev
    except OSError:
        return False


def _mount_of(path: str) -> bytes:
    """The id of the mount that a path is in (proc(5), "fdinfo"), or b"" if the system does not tell.

    Asked first: the list of all mounts is long on a host of many containers.
    """
    if not sys.platform.startswith("linux"):
        return b""
    try:
        descriptor = os.open(path, _NAME_ALONE)
        try:
            with open(f"{_DESCRIPTORS}/{descriptor}", "rb", buffering=0) as lines:
                _, _, rest = lines.read(1024).partition(b"\nmnt_id:")
        finally:
            os.close(descriptor)
    except OSError:
        return b""
    return rest.partition(b"\n")[0].strip()


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


def _protection(path: str) -> str:
    """`immutable` or `append-only` if the file or folder is so (chattr, chflags); root can't replace it either."""
    flags = immutable = append_only = 0
    try:
        if sys.platform.startswith("linux"):
            flags, immutable, append_only = _linux_flags(path), _IMMUTABLE, _APPEND_ONLY
        else:
            flags = getattr(os.lstat(path), "st_flags", 0)
            immutable = stat.UF_IMMUTABLE | stat.SF_IMMUTABLE
            append_only = stat.UF_APPEND | stat.SF_APPEND
    except OSError:
        return ""  # not there, or a filesystem without such flags
    return "immutable" if flags & immutable else "append-only" if flags & append_only else ""


def _linux_flags(path: str) -> int:
    if sys.platform == "win32":
        return 0
    import fcntl  # noqa: PLC0415 - not there on Windows

    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        answer = fcntl.ioctl(descriptor, _GET_FLAGS, struct.pack("l", 0))
        return int(struct.unpack_from("i", answer)[0])  # an int is written, whatever the macro says
    finally:
        with suppress(OSError):
            os.close(descriptor)
