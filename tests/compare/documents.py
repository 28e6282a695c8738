"""The documents of the comparison, and how a provider streams them.

Decided here: three sizes of one blog post, composed as the laptop's simulator composes; of each a right one, and one
whose second section has a heading of the wrong type. The model's name says which is asked for and how fast it comes:
`post-2k`, `post-2k-wrong`. A piece is what one event carries: 4 characters, a usual token; of the largest 32, since a
provider that is that fast joins tokens, too.
"""

import json
import random
from dataclasses import dataclass
from functools import cache
from typing import Any

from infra.local.simulator.document import Composer
from infra.local.simulator.prose import Prose
from infra.local.simulator.violations import render
from tests.response_format import response_format

PROMPT = "Write a blog post about repairing old bicycles."
PROMPT_TOKENS = 380
WRONG_SHARE = 0.1
TTFT_MS = 300.0
WRONG = "-wrong"


@dataclass(frozen=True, slots=True)
class Size:
    """One size of document: its pace, and how much of it an event carries."""

    name: str
    shown: str
    sections: int
    tokens_per_s: float
    piece_chars: int = 4


SMALL = Size("post-2k", "2.7 KB", 4, 120.0)
FAST = Size("post-2k-fast", "2.7 KB", 4, 4_000.0)  # for starts, where only the beginning is looked at
BURST = Size("post-40k-burst", "40 KB", 89, 1e6)  # as fast as it is read: what a token costs
SIZES = (SMALL, Size("post-40k", "40 KB", 89, 1_200.0), Size("post-400k", "400 KB", 897, 1_200.0, 32))


@dataclass(frozen=True, slots=True)
class Document:
    """One model's text, as the provider sends it: each event one HTTP chunk, or the whole as one JSON."""

    text: str
    tokens: int
    tokens_per_s: float
    before: bytes  # the chunk of the role
    pieces: tuple[bytes, ...]
    finish: bytes
    usage: bytes  # for who asked for it
    end: bytes
    whole: bytes


def wrong(number: int) -> bool:
    """Whether the `number`th request of many gets a wrong document: one in ten."""
    return number % 10 == 5


@cache
def response_format_json() -> dict[str, Any]:
    """What every variant sends as `response_format`."""
    return response_format("blog_post")


def compose(size: Size, *, wrong: bool) -> str:
    """The text of one document."""
    schema = response_format_json()["json_schema"]["schema"]
    source = random.Random(7)
    composer = Composer(
        schema, source, Prose(source, "repairing old bicycles", words=55), sections=size.sections
    )
    return render(composer.compose(), schema, composer, "wrong_type" if wrong else None).text


def documents(sizes: tuple[Size, ...] = (FAST, BURST, *SIZES)) -> dict[str, Document]:
    """All of them by the model's name."""
    return {
        size.name + (WRONG if is_wrong else ""): _document(size, compose(size, wrong=is_wrong))
        for size in sizes
        for is_wrong in (False, True)
    }


def worst_documents() -> dict[str, Document]:
    """What holds most memory: as much text as is ever held at once, in a value that never ends and in a document."""
    largest = Size("post-900k", "0.9 MB", 2_120, 1_000.0, 2_048)
    endless = Size("endless", "endless", 0, 1_000.0, 2_048)
    return {
        largest.name: _document(largest, compose(largest, wrong=False)),
        endless.name: _document(endless, '{"title":"' + "word " * 1_000_000),
    }


def _document(size: Size, text: str) -> Document:
    pieces = [text[at : at + size.piece_chars] for at in range(0, len(text), size.piece_chars)]
    tokens = -(-len(text) // 4)
    shared = {
        "id": "chatcmpl-123abc", "created": 1790000000, "model": size.name, "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }  # fmt: skip
    usage = {
        "prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens, "total_tokens": PROMPT_TOKENS + tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0,
                                      "rejected_prediction_tokens": 0},
    }  # fmt: skip

    def event(choices: list[dict[str, Any]], used: Any = None) -> bytes:
        chunk = {**shared, "object": "chat.completion.chunk", "choices": choices, "usage": used}
        return _chunk(
            b"data: " + json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
        )

    def delta(members: dict[str, Any], finish: str | None = None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": members, "logprobs": None, "finish_reason": finish}]

    message = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    whole = {
        **shared, "object": "chat.completion", "usage": usage,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
    }  # fmt: skip
    return Document(
        text,
        tokens,
        size.tokens_per_s,
        event(delta({"role": "assistant", "content": "", "refusal": None})),
        tuple(event(delta({"content": piece})) for piece in pieces),
        event(delta({}, "stop")),
        event([], usage),
        _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n",
        json.dumps(whole, ensure_ascii=False).encode(),
    )


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
