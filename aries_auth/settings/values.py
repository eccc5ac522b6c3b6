"""Variables of the environment, and texts that were given: read, checked, refused."""

from __future__ import annotations

import os
from typing import TypeVar

from aries_auth.errors import AriesAuthError, ConfigurationError

E = TypeVar("E", bound=AriesAuthError)

# The variables for the keys of encrypted stores: the keys themselves, or the file that has them.
STORE_KEYS = ("ARIES_STORE_KEY", "ARIES_STORE_KEY_FILE")
_SECRET = "client_secret"


def variable(name: str) -> str | None:
    """An environment variable; None when it is unset or empty."""
    return os.environ.get(name) or None


def flag_variable(name: str) -> bool | None:
    """A variable that is 1 or 0; None when it is unset or empty.

    Raises:
        ConfigurationError: it is anything else.
    """
    text = variable(name)
    if text in (None, "0", "1"):
        return None if text is None else text == "1"
    raise ConfigurationError(f"${name} must be 1 or 0, not {text!a}.")


def advised(kind: type[E], what: str, *, in_code: str, in_command: str) -> E:
    """An error whose advice depends on who reads it: a program's author, or a person at the command."""
    error = kind(f"{what} {in_code}")
    error.__dict__["for_command"] = f"{what} {in_command}"  # copied and pickled along with the error
    return error


def command_text(error: BaseException) -> str:
    """An error's text as the command says it."""
    return str(error.__dict__.get("for_command") or error)


def missing(parameter: str, name: str, also: str = "", *, can_save: bool = True) -> ConfigurationError:
    """The error for a credential that is needed and not there; `can_save`: whether a login could save a secret."""
    keep = ", or run: aries-auth login" + (" --save-secret" if parameter == _SECRET else "")
    if parameter == _SECRET and not can_save:
        keep = ", from a vault say; it can't be saved beside a store that is no file"
    return advised(
        ConfigurationError,
        f"{parameter} is missing:",
        in_code=f"pass {parameter}=, or set ${name}.{also}",
        in_command=f"set ${name}{keep}.{also}",
    )


def check_text(name: str, value: object) -> str | None:
    """A parameter that is None or a text that is not empty and can be printed."""
    if value is None or (isinstance(value, str) and value and value.isprintable()):
        return value
    raise ConfigurationError(f"{name} must be a text that is not empty and has no control characters.")


def check_flag(name: str, value: object) -> bool:
    """A parameter that is True or False, and nothing that only counts as one."""
    if value is True or value is False:
        return value
    raise ConfigurationError(f"{name} must be True, False or None.")
