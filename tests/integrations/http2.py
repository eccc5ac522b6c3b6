"""An HTTP/2 server with TLS in front of the sandbox, in a process of its own: hypercorn, which speaks it."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import httpx
from hypercorn.asyncio import serve
from hypercorn.config import Config


def front(target: str) -> Any:
    client = httpx.AsyncClient(base_url=target, trust_env=False)

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        kept = [
            (name, value)
            for name, value in scope["headers"]
            if name in (b"authorization", b"content-type", b"user-agent")
        ]
        path = scope["raw_path"].decode() + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        answer = await client.request(scope["method"], path, headers=kept, content=body)
        headers = [(b"content-type", b"application/json"), (b"x-http", scope["http_version"].encode())]
        if "location" in answer.headers:
            headers.append((b"location", answer.headers["location"].encode()))
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})

    return app


if __name__ == "__main__":
    config = Config()
    config.bind = [f"localhost:{sys.argv[2]}"]
    config.certfile, config.keyfile = sys.argv[3], sys.argv[4]
    asyncio.run(serve(front(sys.argv[1]), config))
