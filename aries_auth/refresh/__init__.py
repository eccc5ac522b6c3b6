"""One grant: hands out a token that can be used, and gets the next one. Knows nothing of requests and httpx."""
