"""Variables of the environment, and texts that were given: read, checked, refused."""

from __future__ import annotations

import os

from aries_auth.errors import ConfigurationError


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
