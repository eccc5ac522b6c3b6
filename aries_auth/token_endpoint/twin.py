"""Another object with the very same attributes: a client that is the caller's in all but what is changed here.

A client of the caller's own class may be in use elsewhere at the same time, so nothing of it is ever altered.
"""

from __future__ import annotations

from typing import Any


def can_have_twin(original: object) -> bool:
    """Whether nothing ends with the twin that the original still needs."""
    return hasattr(original, "__dict__") and not hasattr(original, "__del__")


def twin(original: object) -> Any:
    """The twin. (requests' own copies drop what a subclass has added.)"""
    other = object.__new__(type(original))
    vars(other).update(vars(original))
    return other
