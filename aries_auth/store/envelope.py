"""A stored document as bytes: a JSON object, plain or as the ciphertext in an envelope, and back.

What went wrong is returned, so that it is raised from a frame that never held the document.
"""

from __future__ import annotations

import json
from typing import Any, Mapping, NamedTuple, cast

from aries_auth.store.protocol import Cipher
from aries_auth.token import VERSION, Secret, is_for_upgrade, version_fault

_SIGNATURE = b"\xef\xbb\xbf"  # which editors of Windows write before UTF-8


class Advice(NamedTuple):
    """What to say of a document without a key for it, of one under another key, and at the end of all else."""

    no_key: str
    wrong_key: str
    damaged: str = ""


def seal(document: Mapping[str, Any], cipher: Cipher | None) -> tuple[Secret, str]:
    """The document as ASCII, encrypted if there is a cipher, and what keeps it from being written."""
    try:
        text = Secret(_pretty(document))
    except (TypeError, ValueError, RecursionError):
        return Secret(""), "one of its unknown keys has a value that is no JSON"
    if cipher is None:
        return text, ""
    document = {}  # a Ctrl-C in the cipher leaves this frame to be shown
    import base64  # noqa: PLC0415 - few encrypt

    try:
        ciphertext = base64.b64encode(cipher.encrypt(text.reveal().encode("ascii"))).decode("ascii")
    except Exception as exc:  # noqa: BLE001 - anything may stand behind `cipher`, and its frames hold the document
        return Secret(""), f"the cipher's encrypt raised {type(exc).__name__}"
    return Secret(_pretty({"version": VERSION, "ciphertext": ciphertext})), ""


def unseal(raw: bytes, cipher: Cipher | None, advice: Advice) -> tuple[Mapping[str, Any] | None, bool, str]:
    """The document, whether it was encrypted, and what keeps it from being read."""
    document, fault = _object(raw, advice)
    if document is None or "ciphertext" not in document:
        return document, False, fault
    if cipher is None:
        return None, True, advice.no_key
    document, fault = _decrypted(document["ciphertext"], cipher, advice)
    return document, True, fault


def _decrypted(ciphertext: Any, cipher: Cipher, advice: Advice) -> tuple[Mapping[str, Any] | None, str]:
    import base64  # noqa: PLC0415 - as above

    try:
        encrypted = base64.b64decode(ciphertext, validate=True)
    except (TypeError, ValueError):
        return None, f"its ciphertext is not base64{advice.damaged}"
    try:
        raw = bytes(cipher.decrypt(encrypted))
    except Exception as exc:  # noqa: BLE001 - as above
        return None, f"it can't be decrypted ({type(exc).__name__}): {advice.wrong_key}"
    return _object(raw, advice)


def _object(raw: bytes, advice: Advice) -> tuple[Mapping[str, Any] | None, str]:
    document, fault = _parsed(raw)
    if document is not None:
        fault = version_fault(document["version"]) if "version" in document else "it has no version"
    if not fault:
        return document, ""
    return None, fault if is_for_upgrade(fault) else f"{fault}{advice.damaged}"


def _parsed(raw: bytes) -> tuple[Mapping[str, Any] | None, str]:
    raw = raw[len(_SIGNATURE) :] if raw.startswith(_SIGNATURE) else raw
    if not raw.strip():
        return None, "it is empty"
    try:
        document = _STRICT.decode(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return None, "it is not JSON"
    if not isinstance(document, dict):
        return None, "it is not a JSON object"
    return cast("dict[str, Any]", document), ""


def _pretty(document: Mapping[str, Any]) -> str:
    if any(isinstance(value, (dict, list, tuple)) for value in document.values()):
        return json.dumps(document, indent=2, allow_nan=False) + "\n"
    # The same for what is flat, as tokens are: with an indent, json takes its slow way.
    text = _FLAT.encode(document)
    return f"{{\n  {text[1:-1]}\n}}\n"


def _refuse(_constant: str) -> None:
    raise ValueError  # NaN and the infinities are no JSON


# Made once: json makes one for each call that names an option.
_FLAT = json.JSONEncoder(separators=(",\n  ", ": "), allow_nan=False)
_STRICT = json.JSONDecoder(parse_constant=_refuse)
