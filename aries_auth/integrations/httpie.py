"""The HTTPie plugin: ``http --auth-type=aries --auth=PROFILE https://api.aries.com/v1/users/me``.

HTTPie finds it by its entry point; nothing else imports this module.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from aries_auth.auth import AriesAuth
from aries_auth.errors import AriesAuthError

if TYPE_CHECKING:
    # HTTPie has no types, and need not be installed: its base class as far as it is used here.
    class AuthPlugin:
        """See ``httpie.plugins.AuthPlugin``."""

        raw_auth: str | None

else:
    from httpie.plugins import AuthPlugin


class AriesPlugin(AuthPlugin):
    """Authorizes a request with a profile's token; without ``--auth`` it is the profile that ``AriesAuth()`` takes."""

    name = "Aries API"
    description = "The token of `aries-auth login`; --auth is the profile, and can be left out."
    auth_type = "aries"
    auth_require = False
    auth_parse = False  # a profile has no password to be asked for
    prompt_password = False

    def get_auth(self, username: Any = None, password: Any = None) -> AriesAuth:  # noqa: ARG002 - HTTPie's interface
        """The auth of one request."""
        try:
            return AriesAuth(profile=self.raw_auth or None)
        except AriesAuthError as exc:
            # HTTPie asks while it reads its arguments, and would show a traceback.
            sys.stderr.write(f"http: error: {exc}\n")
            raise SystemExit(1) from exc
