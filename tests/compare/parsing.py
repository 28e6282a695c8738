"""`python -m tests.compare.parsing`: what validating a whole document costs the loop, as JSON.

Two of the article's claims are about this alone: that parsing tens of kilobytes blocks for hundreds of milliseconds,
and that a thread frees the loop. A timer of half a millisecond shows how late everybody else is meanwhile.
"""

import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable

from pydantic_streaming import StreamedValidator
from tests.compare.documents import SIZES, compose
from weir.schemas.blog_post import BlogPost

ROUNDS = 3
TICK_S = 0.0005
PIECE_CHARS = 64


def big() -> str:
    """4 MB: the largest document's sections ten times over."""
    document = json.loads(compose(SIZES[2], wrong=False))
    document["sections"] *= 10
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


async def inline(text: str) -> None:
    """On the loop."""
    BlogPost.model_validate_json(text)


async def in_a_thread(text: str) -> None:
    """As the article's last step has it."""
    await asyncio.to_thread(BlogPost.model_validate_json, text)


async def as_it_arrives(text: str) -> None:
    """Ours, a piece at a time."""
    validator = StreamedValidator(BlogPost)
    for number, at in enumerate(range(0, len(text), PIECE_CHARS)):
        validator.feed(text[at : at + PIECE_CHARS])
        if number % 16 == 0:
            await asyncio.sleep(0)
    validator.close()


async def late_ms(way: Callable[[str], Awaitable[None]], text: str) -> float:
    """The longest that anybody else waited."""
    longest_s = 0.0

    async def tick() -> None:
        nonlocal longest_s
        while True:
            due_s = time.perf_counter() + TICK_S
            await asyncio.sleep(TICK_S)
            longest_s = max(longest_s, time.perf_counter() - due_s)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.02)
    gc.collect()
    longest_s = 0.0
    await way(text)
    await asyncio.sleep(0.01)
    ticking.cancel()
    return longest_s * 1e3


def parse_ms(text: str) -> float:
    """The whole at once, the least of several."""
    took = []
    for _ in range(ROUNDS):
        begun_s = time.perf_counter()
        BlogPost.model_validate_json(text)
        took.append(time.perf_counter() - begun_s)
    return min(took) * 1e3


def main() -> None:
    """The least disturbed of several rounds of each, in turn."""
    parsed = {size.shown: parse_ms(compose(size, wrong=False)) for size in SIZES}
    text = big()
    late: dict[str, float] = {}
    ways = {"inline": inline, "in a thread": in_a_thread, "as it arrives (ours)": as_it_arrives}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            found = asyncio.run(late_ms(way, text))
            late[name] = min(late.get(name, found), found)
    print(json.dumps({"parse_ms": parsed | {"4 MB": parse_ms(text)}, "late_ms": late}))


if __name__ == "__main__":
    main()
