"""GrantRow: one row of a table, how its document is read and written, and what errors call it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from aries_auth.errors import StoreError, printable
from aries_auth.sql.database import Database
from aries_auth.sql.fault import DatabaseFault, FaultKind, patiently
from aries_auth.sql.table import GrantTable
from aries_auth.store.document import Accept, decode, encode
from aries_auth.store.protocol import Cipher
from aries_auth.token import Secret, Token


@dataclass(frozen=True)
class GrantRow:
    """What a store and the entries that it hands out share.

    Attributes:
        database: the one that has the table.
        rows: the table.
        key: names the row.
        cipher: encrypts the document; the row's key goes into what is encrypted.
        accept: what is read besides what should be there.
    """

    database: Database
    rows: GrantTable
    key: str
    cipher: Cipher | None = field(repr=False)
    accept: Accept

    def read(self) -> Secret | None:
        """The stored document as it stands, read without a lock. Raises StoreError."""
        document, fault = patiently(self._read)
        if fault is not None and fault.kind is not FaultKind.MISSING:
            raise self.error("read", fault)
        return document

    def _read(self) -> tuple[Secret | None, DatabaseFault | None]:
        fault = self.database.check_owner(self.rows)
        if fault is not None:
            return None, fault
        return self.database.ask(lambda connection: self.rows.read(connection, self.key))

    def decoded(self, document: Secret | None) -> Token | None:
        """The token in a document. Raises StoreError."""
        if document is None:
            return None
        token, fault = decode(
            document.reveal().encode("utf-8", "surrogatepass"), cipher=self.cipher, key=self.key, accept=self.accept
        )
        if fault:
            raise StoreError(f"The token in {self} can't be used: {fault}. It was left as it is.")
        return token

    def encoded(self, token: Token, stored_extra: Mapping[str, Any]) -> Secret:
        """The document of a token. Raises StoreError."""
        return encode(token, stored_extra=stored_extra, cipher=self.cipher, key=self.key)

    def error(self, what: str, fault: DatabaseFault) -> StoreError:
        """The error for a fault, in words for the caller."""
        error = StoreError(f"The token in {self} can't be {what}: {fault.text}.")
        if fault.kind is FaultKind.LOST:
            error.__dict__["out_of_reach"] = True  # a caller that has more to do there need not wait again
        return error

    def __str__(self) -> str:
        return f"{self.database.shown} (table {self.rows.name}, key {printable(self.key)})"
