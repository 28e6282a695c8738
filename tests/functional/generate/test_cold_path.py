"""A cold start asks the provider before it imports what validates: the answer is the one of a warm environment."""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.functional.generate.door import BLOG_POST, Answer, Door, door, set_policy
from tests.functional.generate.scripted import (
    DONE,
    END,
    HEAD,
    USAGE,
    Step,
    chunk,
    completion,
    provider,
    text,
)
from weir.generate import late_imports
from weir.generate.late_imports import LateImports

DOCUMENT = json.dumps(BLOG_POST)
PIECES = [DOCUMENT[at : at + 40] for at in range(0, len(DOCUMENT), 40)]
WRONG = json.dumps({**BLOG_POST, "tags": "none"})
ASKED = {"prompt": "x", "schema": "blog_post"}
SCRIPTS: dict[str, list[Step]] = {
    "whole": completion(*PIECES),
    "in one write": [b"".join(step for step in completion(*PIECES) if isinstance(step, bytes))],
    "wrong in its middle": completion(*(WRONG[at : at + 40] for at in range(0, len(WRONG), 40))),
    "reset": [HEAD, *map(text, PIECES[:8]), 0.02, "reset"],
    "closed": [HEAD, *map(text, PIECES[:8]), "close"],
    "wrong, then closed": [HEAD, text('{"title": 5, "slug": "a",'), 0.02, text(' "summary"'), 0.02, "close"],
    "wrong, then an error": [HEAD, text('{"title": 5, "slug": "a",'), 0.02, chunk(error={"message": "died", "code": 500})],
    "an error": [HEAD, *map(text, PIECES[:8]), chunk(error={"message": "died", "code": 500}), END],
    "silent": [HEAD, *map(text, PIECES[:8]), "stall"],
    "cut by its limit": [HEAD, *map(text, PIECES[:8]), chunk(finish="length"), chunk(usage=USAGE), DONE, END],
    "empty": [HEAD, chunk(finish="stop"), chunk(usage=USAGE), DONE, END],
}  # fmt: skip


def hold_imports(app: Door, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let an app that has started be a cold one, whose imports take until the returned function is called."""
    gate, real = threading.Event(), late_imports._validation

    def slow(schema: Any = None) -> None:
        gate.wait(10)
        real(schema)

    monkeypatch.setattr(late_imports, "_validation", slow)
    app.app._generate.late_imports = LateImports(lambda: None)
    return gate.set


async def asked(script: list[Step], body: Any, monkeypatch: pytest.MonkeyPatch, *, cold: bool) -> Answer:
    answer = Answer()
    async with provider(script) as upstream, door(upstream.base_url, monkeypatch) as app:
        set_policy(app, between_tokens_s=0.15)
        if not cold:
            app.app._generate.late_imports.at_once()
            return await app.request(body)
        release = hold_imports(app, monkeypatch)
        asking = asyncio.create_task(app.request(body, answer=answer))
        await asyncio.sleep(0.08)
        release()
        await asking
    return answer


@pytest.mark.parametrize("name", list(SCRIPTS))
@pytest.mark.parametrize("options", [{}, {"release": "validated"}, {"on_violation": "finish"}], ids=str)
async def test_what_a_cold_start_answers_is_what_a_warm_one_answers(
    name: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = await asked(SCRIPTS[name], ASKED | options, monkeypatch, cold=False)
    cold = await asked(SCRIPTS[name], ASKED | options, monkeypatch, cold=True)
    assert cold.of("value") == warm.of("value")
    for member in ("outcome", "detail", "violations", "title"):
        assert cold.final[1].get(member) == warm.final[1].get(member), member
    # Only text that leaves the moment it comes may run ahead of the violation that ends it.
    assert cold.text.startswith(warm.text)
    if "release" in options or warm.final[0] == "done":
        assert cold.text == warm.text


async def test_the_provider_is_asked_and_text_leaves_before_anything_that_validates_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    more, answer = asyncio.Event(), Answer()
    script: list[Step] = [HEAD, *map(text, PIECES[:8]), more, *completion(*PIECES[8:])[1:]]
    async with provider(script) as upstream, door(upstream.base_url, monkeypatch) as app:
        release = hold_imports(app, monkeypatch)
        asking = asyncio.create_task(app.request(ASKED, answer=answer))
        await answer.until(PIECES[7].encode()[-8:].replace(b'"', b'\\"'))
        assert len(upstream.requests) == 1 and answer.of("value") == []
        release()
        # The provider is silent: the values of what has come follow as soon as they can be told.
        await answer.until(b'"path":"/summary"')
        more.set()
        await asking
    assert answer.final[1]["outcome"] == "ok" and json.loads(answer.text) == BLOG_POST


async def test_a_body_that_only_the_model_can_judge_is_judged_before_the_provider_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with provider(completion("x")) as upstream, door(upstream.base_url, monkeypatch) as app:
        hold_imports(app, monkeypatch)
        answer = await app.request({"prompt": "x", "temperature": 3})
        assert answer.status == 422 and upstream.requests == []


async def test_an_import_that_fails_is_an_error_of_ours_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with provider(completion(*PIECES)) as upstream, door(upstream.base_url, monkeypatch) as app:
        hold_imports(app, monkeypatch)

        def broken(schema: Any = None) -> None:
            raise MemoryError

        monkeypatch.setattr(late_imports, "_validation", broken)
        first = await app.request(ASKED)
        monkeypatch.setattr(late_imports, "_validation", lambda schema=None: None)
        second = await app.request(ASKED)
    assert first.final[1]["outcome"] == "internal_error" and second.final[1]["outcome"] == "ok"
    assert len(upstream.requests) == 2
