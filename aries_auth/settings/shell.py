"""Texts for a shell: an argument that can be pasted, and lines that set variables, each as its shell reads them."""

from __future__ import annotations

import os
import re

SHELLS = ("posix", "powershell", "cmd")

_MODULE_PATH = "PSModulePath"
_PLAIN = re.compile(r"[A-Za-z0-9_.:/\\-]+\Z")
_AMBIGUOUS = re.compile(r"[\"%$`!^&|<>\r\n]")


def quoted(text: str, *, windows: bool | None = None) -> str | None:
    """The text as one argument; on Windows as cmd.exe and PowerShell both read it, or None if no spelling does."""
    if not (os.name == "nt" if windows is None else windows):
        return _posix(text)
    if _PLAIN.match(text):
        return text
    return None if _AMBIGUOUS.search(text) else f'"{text}"'


def current_shell() -> str:
    """The kind of shell that most likely started this process."""
    # PowerShell puts the user's own folder in front of the two that every program has.
    has_module_path = len(os.environ.get(_MODULE_PATH, "").split(os.pathsep)) >= (3 if os.name == "nt" else 2)
    if has_module_path:
        return "powershell"
    return "cmd" if os.name == "nt" and not os.environ.get("SHELL") else "posix"


def assignment(shell: str, name: str, value: str) -> str:
    """A line that sets a variable for the programs that the shell starts from then on."""
    if shell == "powershell":
        doubled = value.replace("'", "''")
        return f"$env:{name} = '{doubled}'"
    if shell == "cmd":
        return f'set "{name}={value}"'
    return f"export {name}={_posix(value)}"


def _posix(text: str) -> str:
    import shlex  # noqa: PLC0415 - the command's quick ways do without

    return shlex.quote(text)
