"""``aries-auth rekey``: moves stored tokens to the newest key, or encrypts plain ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from aries_auth.cli.console import Failure, say
from aries_auth.cli.options import examples, find_store, grant_options

if TYPE_CHECKING:
    from aries_auth.settings.encryption import EncryptableStore


@click.command(
    epilog=examples(
        'export ARIES_STORE_KEY="NEW,OLD"',
        "aries-auth rekey",
        "aries-auth rekey --all       every profile of the database or folder",
        "aries-auth rekey --encrypt-plain",
    ),
)
@grant_options
@click.option("--all", "every", is_flag=True, help="Every profile of the database, or of the default folder.")
@click.option(
    "--encrypt-plain",
    is_flag=True,
    help="Also take a token that is not encrypted. Only if nobody else can have put it there: afterwards it looks "
    "genuine.",
)
def rekey(profile: str | None, store: str | None, *, every: bool, encrypt_plain: bool) -> None:
    """Move the stored token to the newest key, or encrypt it with --encrypt-plain.

    The keys are Fernet's, in $ARIES_STORE_KEY or the file that $ARIES_STORE_KEY_FILE names: separated by commas, the
    newest first. Give the old key along with the new one; once everything is moved, it can be left out.
    """
    from aries_auth.errors import ConfigurationError, StoreError  # noqa: PLC0415
    from aries_auth.settings import saved_secret  # noqa: PLC0415
    from aries_auth.settings.encryption import cipher_of_environment  # noqa: PLC0415
    from aries_auth.settings.encryption import rekey as move  # noqa: PLC0415
    from aries_auth.settings.stores import every_store  # noqa: PLC0415
    from aries_auth.store import store_name  # noqa: PLC0415

    cipher = cipher_of_environment()
    if cipher is None:
        raise ConfigurationError("There is no key: set $ARIES_STORE_KEY, or $ARIES_STORE_KEY_FILE.")
    failed = 0
    for found in every_store(store) if every else [find_store(profile, store)]:
        where = store_name(found.store)
        try:
            token = move(cast("EncryptableStore", found.store), cipher, encrypt_plain=encrypt_plain)
            saved_secret.rekey_secret(found.store, cipher, encrypt_plain=encrypt_plain)
        except StoreError as exc:
            if not every:
                raise
            failed += 1
            say(str(exc), color="red")
            continue
        say(f"the token in {where} is under the newest key" if token else f"there is no token in {where}")
    if failed:
        raise Failure(f"{failed} of them could not be moved, and were left as they are")
