"""What became of one attempt, and how an answer is read: whole, bounded, and never in layers."""

from __future__ import annotations

from typing import Iterator, Mapping, NamedTuple

from aries_auth.errors import printable
from aries_auth.token_endpoint import verdict
from aries_auth.token_endpoint.protocol import Answer

LARGEST_ANSWER = 1024 * 1024
# What is decoded in steps bounded by what was read; br and zstd expand without such a bound, and so do layers.
_ENCODINGS = frozenset({"", "identity", "gzip", "deflate"})


class Attempt(NamedTuple):
    """What became of it: an answer, or why there is none and whether the endpoint can have spent what it was sent."""

    answer: Answer | None = None
    fault: str = ""
    unsent: bool = False
    retryable: bool = True
    advice: str = ""


def read_answer(status: int, headers: Mapping[str, str], chunks: Iterator[bytes]) -> Attempt:
    """The answer, read to its end, unless it is too large or packed in a way that nobody asked for."""
    known = {name.lower(): value for name, value in headers.items()}
    encoding = known.get("content-encoding", "").strip().lower()
    fault = "" if encoding in _ENCODINGS else f"the answer came as {printable(encoding)}, unasked"
    body = bytearray()
    for chunk in () if fault else chunks:
        body += chunk
        if len(body) > LARGEST_ANSWER:
            fault = f"the answer is larger than {LARGEST_ANSWER} bytes"
            break
    if fault and not verdict.is_later(status):
        return Attempt(fault=fault, retryable=False)
    # "Later" is said by the status; what page a gateway puts under it is no matter.
    return Attempt(Answer(status, known, b"" if fault else bytes(body)))


def is_whole(answer: Answer) -> bool:
    """Whether the answer itself says that nothing is missing: a connection cut short can look like its end."""
    if "chunked" in answer.headers.get("transfer-encoding", "").lower():
        return True
    encoded = answer.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")
    length = answer.headers.get("content-length", "").strip()
    return length.isdigit() and (encoded or int(length) == len(answer.body))
