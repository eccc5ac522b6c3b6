"""The stored document of a token, and back.

What is encrypted for a row of a table holds the row's key beside the token: ``{"version": 1, "key": …, "token": {…}}``.
So whoever can write in the table, and has no key of the cipher, can't give one user another's token.
"""

from __future__ import annotations

import enum
from typing import Any, Mapping, cast

from aries_auth.errors import StoreError
from aries_auth.store.envelope import Advice, seal, unseal
from aries_auth.store.protocol import Cipher
from aries_auth.token import VERSION, Secret, Token, document_fault

_REKEY = "`aries-auth rekey` moves an encrypted store to the newest key"
_ADVICE = Advice(
    no_key=f"it is encrypted and no cipher was given: pass cipher=, or set $ARIES_STORE_KEY for the command ({_REKEY})",
    wrong_key=f"the key is wrong, or the store is damaged. Give the key that it was written with; {_REKEY}",
)


class Accept(enum.Flag):
    """What is read besides what should be there: `rekey` accepts it once, and saves it as it should be."""

    NOTHING = 0
    UNBOUND = enum.auto()  # an encrypted row that carries no key
    PLAIN = enum.auto()  # what is not encrypted, though a cipher is given


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
    document, fault = seal(_whole(token, stored_extra, key if cipher is not None else None), cipher)
    if fault:
        stored_extra = {}  # may hold anything, and this frame may be shown
        raise StoreError(f"The token can't be stored: {fault}.")
    return document


def _whole(token: Token, stored_extra: Mapping[str, Any], key: str | None) -> Mapping[str, Any]:
    known = token.to_dict()
    document = {**known, **{name: stored_extra[name] for name in stored_extra if name not in known}}
    return document if key is None else {"version": VERSION, "key": key, "token": document}


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
    document, was_encrypted, fault = unseal(raw, cipher, _ADVICE)
    if document is None:
        return None, fault
    if not was_encrypted and cipher is not None and not accept & Accept.PLAIN:
        return None, (
            "a cipher was given ($ARIES_STORE_KEY, $ARIES_STORE_KEY_FILE, or cipher=), but it is not encrypted: "
            "`aries-auth rekey` encrypts it with --encrypt-plain, if you know that nobody else has put it there"
        )
    if was_encrypted and key is not None:
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
