"""Another object with the very same attributes: a client that is the caller's in all but what is changed here.

A client of the caller's own class may be in use elsewhere at the same time, so nothing of it is ever altered.
"""

from __future__ import annotations

from typing import Any


def can_have_twin(original: object) -> bool:
    """Whether nothing ends with the twin that the original still needs."""
    return hasattr(original, "__dict__") and not hasattr(original, "__del__")


def twin(original: Any) -> Any:
    """The twin. (requests' own copies drop what a subclass has added.)"""
    other: Any = object.__new__(original.__class__)
    other.__dict__.update(original.__dict__)
    return other
