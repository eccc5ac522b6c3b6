"""The stored document: a token as pretty-printed JSON, encrypted or plain, and back.

What is encrypted for a row of a table holds the row's key beside the token: ``{"version": 1, "key": …, "token": {…}}``.
So whoever can write in the table, and has no key of the cipher, can't give one user another's token.
"""

from __future__ import annotations

import enum
import json
from typing import Any, Mapping, Protocol, cast

from aries_auth.errors import StoreError
from aries_auth.token import VERSION, Secret, Token, document_fault, version_fault

_SIGNATURE = b"\xef\xbb\xbf"  # which editors of Windows write before UTF-8
_REKEY = "`aries-auth rekey` moves an encrypted store to the newest key"


class Accept(enum.Flag):
    """What is read besides what should be there: `rekey` accepts it once, and saves it as it should be."""

    NOTHING = 0
    UNBOUND = enum.auto()  # an encrypted row that carries no key
    PLAIN = enum.auto()  # what is not encrypted, though a cipher is given


class Cipher(Protocol):
    """Encrypts tokens at rest, e.g. ``cryptography.fernet.MultiFernet``."""

    def encrypt(self, data: bytes, /) -> bytes:
        """The data, encrypted and authenticated."""
        ...

    def decrypt(self, token: bytes, /) -> bytes:
        """What `encrypt` was given; raises whatever it likes if key or data is wrong."""
        ...


def encode(token: Token, *, stored_extra: Mapping[str, Any], cipher: Cipher | None, key: str | None = None) -> Secret:
    """The document of a token, as ASCII; keys that this version does not know are kept as they were stored.

    Args:
        token: the token.
        stored_extra: the unknown keys of what is stored now.
        cipher: encrypts the document.
        key: the key of the row that an encrypted document is for; None for a file.

    Raises:
        StoreError: the cipher failed, or an unknown key can't be written as JSON.
    """
    document, fault = _encode(token, stored_extra, cipher, key)
    if fault:
        stored_extra = {}  # may hold anything, and this frame may be shown
        raise StoreError(f"The token can't be stored: {fault}.")
    return document


def _encode(
    token: Token, stored_extra: Mapping[str, Any], cipher: Cipher | None, key: str | None
) -> tuple[Secret, str]:
    known = token.to_dict()
    document: Mapping[str, Any] = {**known, **{name: stored_extra[name] for name in stored_extra if name not in known}}
    if cipher is not None and key is not None:
        document = {"version": VERSION, "key": key, "token": document}
    try:
        text = _pretty(document)
    except (TypeError, ValueError, RecursionError):
        return Secret(""), "one of its unknown keys has a value that is no JSON"
    if cipher is None:
        return Secret(text), ""
    import base64  # noqa: PLC0415 - few encrypt

    try:
        ciphertext = base64.b64encode(cipher.encrypt(text.encode("ascii"))).decode("ascii")
    except Exception as exc:  # noqa: BLE001 - anything may stand behind `cipher`, and its frames hold the token
        return Secret(""), f"the cipher's encrypt raised {type(exc).__name__}"
    return Secret(_pretty({"version": VERSION, "ciphertext": ciphertext})), ""


def _pretty(document: Mapping[str, Any]) -> str:
    if any(isinstance(value, (dict, list, tuple)) for value in document.values()):
        return json.dumps(document, indent=2, allow_nan=False) + "\n"
    # The same for what is flat, as tokens are: with an indent, json takes its slow way.
    text = _FLAT.encode(document)
    return f"{{\n  {text[1:-1]}\n}}\n"


def decode(
    raw: bytes, *, cipher: Cipher | None, key: str | None = None, accept: Accept = Accept.NOTHING
) -> tuple[Token | None, str]:
    """The token of a document and "", or None and what keeps it from being read.

    Returned rather than raised: a caller raises from a frame that does not hold the document.

    Args:
        raw: the document.
        cipher: decrypts it.
        key: the key of the row that it was read from; None for a file.
        accept: what to read besides what should be there.
    """
    document, fault = _object(raw)
    if document is None:
        return None, fault
    encrypted = "ciphertext" in document
    if encrypted and cipher is None:
        return None, (
            f"it is encrypted and no cipher was given: pass cipher=, or set $ARIES_STORE_KEY for the command ({_REKEY})"
        )
    if not encrypted and cipher is not None and not accept & Accept.PLAIN:
        return None, (
            "a cipher was given ($ARIES_STORE_KEY, $ARIES_STORE_KEY_FILE, or cipher=), but it is not encrypted: "
            "`aries-auth rekey` encrypts it with --encrypt-plain, if you know that nobody else has put it there"
        )
    if cipher is not None and encrypted:
        document, fault = _decrypted(document, cipher)
        if document is not None and key is not None:
            document, fault = _of_row(document, key, accept)
        if document is None:
            return None, fault
    try:
        return Token.from_dict(document), ""
    except StoreError as exc:
        return None, document_fault(document) or str(exc)


def _of_row(document: Mapping[str, Any], key: str, accept: Accept) -> tuple[Mapping[str, Any] | None, str]:
    """The token's document inside a decrypted one, which has to name the row that it was read from."""
    token: object = document.get("token")
    if "key" not in document or not isinstance(token, dict):
        if accept & Accept.UNBOUND:
            return document, ""
        return None, (
            "it does not say which row it was encrypted for, so it may be another user's. Older versions wrote it so: "
            "`aries-auth rekey` binds it to its row, if you know that nobody else writes in the table"
        )
    if document["key"] != key:
        return None, (
            "it was encrypted for another row: somebody has copied it, or renamed the row. Delete it, and log in again"
        )
    return cast("dict[str, Any]", token), ""


def _decrypted(envelope: Mapping[str, Any], cipher: Cipher) -> tuple[Mapping[str, Any] | None, str]:
    fault = version_fault(envelope.get("version"))
    if fault:
        return None, fault
    import base64  # noqa: PLC0415 - as above

    try:
        ciphertext = base64.b64decode(envelope["ciphertext"], validate=True)
    except (TypeError, ValueError):
        return None, "its ciphertext is not base64"
    try:
        raw = bytes(cipher.decrypt(ciphertext))
    except Exception as exc:  # noqa: BLE001 - anything may stand behind `cipher`
        return None, (
            f"it can't be decrypted ({type(exc).__name__}): the key is wrong, or the store is damaged. Give the key "
            f"that it was written with; {_REKEY}"
        )
    return _object(raw)


def _object(raw: bytes) -> tuple[Mapping[str, Any] | None, str]:
    raw = raw[len(_SIGNATURE) :] if raw.startswith(_SIGNATURE) else raw
    if not raw.strip():
        return None, "it is empty"
    try:
        document = _STRICT.decode(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return None, "it is not JSON"
    if not isinstance(document, dict):
        return None, "it is not a JSON object"
    if "version" not in document:
        return None, "it has no version"
    return cast("dict[str, Any]", document), ""


def _refuse(_constant: str) -> None:
    raise ValueError  # NaN and the infinities are no JSON


# Made once: json makes one for each call that names an option.
_FLAT = json.JSONEncoder(separators=(",\n  ", ": "), allow_nan=False)
_STRICT = json.JSONDecoder(parse_constant=_refuse)
