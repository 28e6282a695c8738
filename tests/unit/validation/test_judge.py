"""The judge of large texts, with a real child process."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError, model_validator

from pydantic_streaming import InvalidDocument, StreamedValidator, Value
from weir.generate.validator_process import Judge, close
from weir.schemas import load_schema

pytestmark = pytest.mark.anyio

LARGE = "x" * 200_000


def post(**changed: object) -> str:
    value: dict[str, object] = {
        "title": "T",
        "slug": "t",
        "summary": LARGE,
        "tags": ["é"],
        "author": {"name": "A"},
        "sections": [{"heading": "h", "content": "c", "keywords": []}],
        "conclusion": "c",
        "references": [],
    }
    return json.dumps({**value, **changed}, ensure_ascii=False)


def repeated(text: str) -> str:
    return text[:-1] + ',"title":"U"}'


@pytest.fixture
async def judge() -> AsyncIterator[Judge]:
    judge = Judge()
    yield judge
    await judge.aclose()


async def test_no_child_is_started_where_the_parts_or_a_small_text_can_tell(judge: Judge) -> None:
    model = load_schema("blog_post")
    for text in (post(), repeated(post(summary="s"))):
        validator = StreamedValidator(model)
        validator.feed(text)
        assert (await close(validator, judge)).model == model.model_validate_json(text)
    assert judge.started == 0


async def test_a_large_text_is_judged_by_a_child_and_nothing_but_bytes_comes_back(judge: Judge) -> None:
    model = load_schema("blog_post")
    text = repeated(post())
    for _ in range(2):
        validator = StreamedValidator(model)
        validator.feed(text)
        document = await close(validator, judge)
        want = model.model_validate_json(text)
        assert b"".join(document.json_parts()) == want.model_dump_json(by_alias=True).encode()
        assert document.values == [Value("/title", b'"U"')]
        assert document.model == want
    assert (judge.started, judge.inline) == (1, 0)


async def test_the_errors_of_a_large_text_are_pydantics(judge: Judge) -> None:
    model = load_schema("blog_post")
    text = post(slug="NOT A SLUG", tags=[1, 2], references="none")
    validator = StreamedValidator(model)
    validator.feed(text)
    with pytest.raises(ValidationError) as want:
        model.model_validate_json(text)
    with pytest.raises(InvalidDocument) as caught:
        await close(validator, judge)
    assert [(v.loc, v.type, v.message) for v in caught.value.violations] == [
        (e["loc"], e["type"], e["msg"]) for e in want.value.errors()
    ]
    assert (judge.started, judge.inline) == (1, 0)


async def test_a_model_that_no_child_could_find_is_judged_inline(judge: Judge) -> None:
    class Local(BaseModel):
        text: str

        @model_validator(mode="before")
        @classmethod
        def see(cls, data: object) -> object:
            return data

    validator = StreamedValidator(Local)
    validator.feed(json.dumps({"text": LARGE}))
    assert (await close(validator, judge)).model == Local(text=LARGE)
    assert (judge.started, judge.inline) == (0, 1)


async def test_a_child_that_is_killed_costs_one_text_its_child_and_no_text_its_verdict(judge: Judge) -> None:
    model = load_schema("blog_post")
    await judge.start()
    assert judge.started == 1
    os.kill(_pid(judge), signal.SIGKILL)
    for _ in range(2):
        validator = StreamedValidator(model)
        validator.feed(repeated(post()))
        assert (await close(validator, judge)).values == [Value("/title", b'"U"')]
    assert judge.started == 2


async def test_cancelling_a_verdict_leaves_the_judge_ready_for_the_next(judge: Judge) -> None:
    model = load_schema("blog_post")
    await judge.start()
    os.kill(_pid(judge), signal.SIGSTOP)
    validator = StreamedValidator(model)
    validator.feed(repeated(post()))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(close(validator, judge), 0.1)
    validator = StreamedValidator(model)
    validator.feed(repeated(post()))
    assert (await close(validator, judge)).values == [Value("/title", b'"U"')]
    assert (judge.started, judge.inline) == (2, 0)


async def test_texts_take_turns(judge: Judge) -> None:
    model = load_schema("blog_post")

    async def one(title: str) -> bytes:
        validator = StreamedValidator(model)
        validator.feed(post()[:-1] + f',"title":"{title}"}}')
        return (await close(validator, judge)).values[0].json

    assert await asyncio.gather(*map(one, "abc")) == [b'"a"', b'"b"', b'"c"']
    assert judge.started == 1


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc whether a process runs")
async def test_the_child_ends_with_its_parent() -> None:
    # The parent is killed, so that nothing of it can tell the child.
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import asyncio, sys; sys.path[:] = sys.argv[1:]\n"
        "from weir.generate.validator_process import Judge\n"
        "async def main():\n"
        "    judge = Judge(); await judge.start(); print(judge._child.pid, flush=True); await asyncio.sleep(60)\n"
        "asyncio.run(main())",
        *sys.path,
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    # No one is told of the end of a grandchild: it has to be looked for.
    for _ in range(400):
        if not _runs(child):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the child outlived its parent")


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def _pid(judge: Judge) -> int:
    assert judge._child is not None
    return judge._child.pid
