"""A user's mistakes: a type checker must report every line marked `# wrong`, and no other."""

from __future__ import annotations

import aries_auth
from aries_auth import AriesAuth, AuthorizationCodeFlow, FileTokenStore, Token, login

AriesAuth(client_secret=b"secret")  # wrong
AriesAuth(refresh_margin="5 minutes")  # wrong
AriesAuth("id", "secret", "https://app.test/", "work")  # wrong
AriesAuth(api_origins=1)  # wrong
AriesAuth(token_client=object())  # wrong
AriesAuth(store=42)  # wrong
AriesAuth(token="secret")  # wrong
number: int = AriesAuth().get_token()  # wrong
AriesAuth().token.access_token  # wrong
Token()  # wrong
Token("access").access_token = "other"  # wrong
late: float = Token("access").expires_at  # wrong
Token.from_response({"access_token": "a"})  # wrong
FileTokenStore()  # wrong
FileTokenStore("token.json").load().access_token  # wrong
FileTokenStore("token.json").save("access")  # wrong
AuthorizationCodeFlow("id")  # wrong
AuthorizationCodeFlow(scope="a").fetch_token("https://app.test/?code=1")  # wrong
login(scope=3)  # wrong
aries_auth.AriesOAuth  # wrong


async def forgot_await(auth: AriesAuth) -> str:
    return auth.get_token_async()  # wrong


class HalfAStore:
    def load(self) -> Token | None:
        return None


AriesAuth(store=HalfAStore())  # wrong
