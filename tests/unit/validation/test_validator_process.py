"""The validator process, for large texts, with a real child process."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError, model_validator

from pydantic_streaming import InvalidDocument, StreamedValidator, Value
from weir.generate.validator_process import ValidatorProcess, close
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
async def process() -> AsyncIterator[ValidatorProcess]:
    process = ValidatorProcess()
    yield process
    await process.aclose()


async def test_no_child_is_started_where_the_parts_or_a_small_text_can_tell(
    process: ValidatorProcess,
) -> None:
    model = load_schema("blog_post")
    for text in (post(), repeated(post(summary="s"))):
        validator = StreamedValidator(model)
        validator.feed(text)
        assert (await close(validator, process)).model == model.model_validate_json(text)
    assert process.started == 0


async def test_a_large_text_is_validated_by_a_child_and_nothing_but_bytes_comes_back(
    process: ValidatorProcess,
) -> None:
    model = load_schema("blog_post")
    text = repeated(post())
    for _ in range(2):
        validator = StreamedValidator(model)
        validator.feed(text)
        document = await close(validator, process)
        want = model.model_validate_json(text)
        assert b"".join(document.json_parts()) == want.model_dump_json(by_alias=True).encode()
        assert document.values == [Value("/title", b'"U"')]
        assert document.model == want
    assert (process.started, process.inline) == (1, 0)


async def test_the_errors_of_a_large_text_are_pydantics(process: ValidatorProcess) -> None:
    model = load_schema("blog_post")
    text = post(slug="NOT A SLUG", tags=[1, 2], references="none")
    validator = StreamedValidator(model)
    validator.feed(text)
    with pytest.raises(ValidationError) as want:
        model.model_validate_json(text)
    with pytest.raises(InvalidDocument) as caught:
        await close(validator, process)
    assert [(v.loc, v.type, v.message) for v in caught.value.violations] == [
        (e["loc"], e["type"], e["msg"]) for e in want.value.errors()
    ]
    assert (process.started, process.inline) == (1, 0)


async def test_a_model_that_no_child_could_find_is_validated_inline(process: ValidatorProcess) -> None:
    class Local(BaseModel):
        text: str

        @model_validator(mode="before")
        @classmethod
        def see(cls, data: object) -> object:
            return data

    validator = StreamedValidator(Local)
    validator.feed(json.dumps({"text": LARGE}))
    assert (await close(validator, process)).model == Local(text=LARGE)
    assert (process.started, process.inline) == (0, 1)


async def test_a_child_that_is_killed_costs_one_text_its_child_and_no_text_its_verdict(
    process: ValidatorProcess,
) -> None:
    model = load_schema("blog_post")
    await process.start()
    assert process.started == 1
    os.kill(_pid(process), signal.SIGKILL)
    for _ in range(2):
        validator = StreamedValidator(model)
        validator.feed(repeated(post()))
        assert (await close(validator, process)).values == [Value("/title", b'"U"')]
    assert process.started == 2


async def test_cancelling_a_verdict_leaves_the_process_ready_for_the_next(process: ValidatorProcess) -> None:
    model = load_schema("blog_post")
    await process.start()
    os.kill(_pid(process), signal.SIGSTOP)
    validator = StreamedValidator(model)
    validator.feed(repeated(post()))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(close(validator, process), 0.1)
    validator = StreamedValidator(model)
    validator.feed(repeated(post()))
    assert (await close(validator, process)).values == [Value("/title", b'"U"')]
    assert (process.started, process.inline) == (2, 0)


async def test_texts_take_turns(process: ValidatorProcess) -> None:
    model = load_schema("blog_post")

    async def one(title: str) -> bytes:
        validator = StreamedValidator(model)
        validator.feed(post()[:-1] + f',"title":"{title}"}}')
        return (await close(validator, process)).values[0].json

    assert await asyncio.gather(*map(one, "abc")) == [b'"a"', b'"b"', b'"c"']
    assert process.started == 1


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc whether a process runs")
async def test_the_child_ends_with_its_parent() -> None:
    # The parent is killed, so that nothing of it can tell the child.
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import asyncio, sys; sys.path[:] = sys.argv[1:]\n"
        "from weir.generate.validator_process import ValidatorProcess\n"
        "async def main():\n"
        "    process = ValidatorProcess(); await process.start(); print(process._child.pid, flush=True); await asyncio.sleep(60)\n"
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


def _pid(process: ValidatorProcess) -> int:
    assert process._child is not None
    return process._child.pid


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the memory of a process")
async def test_twelve_megabytes_of_wrong_elements_cost_the_child_no_gigabytes(
    process: ValidatorProcess,
) -> None:
    text = '{"tags":[' + ",".join(["0"] * 6_000_000) + "]}"
    validator = StreamedValidator(load_schema("blog_post"))
    for at in range(0, len(text), 1 << 20):
        validator.feed(text[at : at + (1 << 20)])
    with pytest.raises(InvalidDocument) as caught:
        await close(validator, process)
    assert (process.started, process.inline) == (1, 0)
    assert [v.loc for v in caught.value.violations] == [("tags", 0)]
    peak_kb = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{_pid(process)}/status").read_text())
    assert peak_kb is not None and int(peak_kb[1]) < 500_000
