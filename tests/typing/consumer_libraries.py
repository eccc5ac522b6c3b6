"""A program with niquests, httpx2 and aiohttp: a type checker must report every line marked `# wrong`, and no other."""

from __future__ import annotations

import aiohttp
import httpx2
import niquests

from aries_auth import AriesAuth, AuthorizationCodeFlow, ConfigurationError
from aries_auth.integrations.aiohttp import AriesMiddleware

URL = "https://api.aries.com/v1/users/me"
auth = AriesAuth(token_client=niquests.Session())
AuthorizationCodeFlow(scope="user:information", token_client=httpx2.Client())
AriesAuth(token_client=niquests.AsyncSession())  # wrong
AriesAuth(token_client=httpx2.AsyncClient())  # wrong

with niquests.Session() as session:
    session.auth = auth
    session.get(URL, auth=auth)
with httpx2.Client(auth=auth) as client:
    client.get(URL, auth=auth)


async def main() -> None:
    try:
        middleware = AriesMiddleware(auth)
        AriesMiddleware("token")  # wrong
    except ConfigurationError:
        return
    async with aiohttp.ClientSession(middlewares=(middleware,)) as first:
        await first.get(URL)
    async with niquests.AsyncSession() as second:
        await second.get(URL, auth=auth)
    async with httpx2.AsyncClient(auth=auth) as third:
        await third.get(URL)
