"""Lines that set variables, each as its shell reads them."""

from __future__ import annotations

import os

from aries_auth.terminal import quoted

SHELLS = ("posix", "powershell", "cmd")

_MODULE_PATH = "PSModulePath"


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
    return f"export {name}={quoted(value, windows=False)}"
