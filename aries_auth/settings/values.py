"""Variables of the environment, and texts that were given: read, checked, refused."""

from __future__ import annotations

import os

from aries_auth.errors import ConfigurationError, printable


def variable(name: str) -> str | None:
    """An environment variable; None when it is unset or empty."""
    return os.environ.get(name) or None


def missing(parameter: str, name: str) -> ConfigurationError:
    """The error for a credential that is needed and not there."""
    return ConfigurationError(f"{parameter} is missing: pass {parameter}=, or set ${name}.")


def check_text(name: str, value: object) -> str | None:
    """A parameter that is None or a text that is not empty and can be printed."""
    if value is None or (isinstance(value, str) and value and value.isprintable()):
        return value
    raise ConfigurationError(f"{name} must be a text that is not empty and has no control characters.")


def check_flag(name: str, value: object) -> bool:
    """A parameter that is True or False, and nothing that only counts as one."""
    if value is True or value is False:
        return value
    raise ConfigurationError(f"{name} must be True, False or None, not {printable(repr(value))}.")
