"""The libraries that stream structured output, each as its own users call it, on one document of BlogPost.

Runs in the peers' environment; prints one JSON object: for each library its CPU time, or why there is none.
"""

import asyncio
import json
import sys
import time
import warnings
from collections.abc import Callable

from tests.bench.documents import BlogPost, Section, prose, tokens

Runner = Callable[[list[str]], object]


def openai_python() -> Runner:
    """The parser behind `client.chat.completions.stream(response_format=BlogPost)`."""
    from openai.lib.streaming.chat import ChatCompletionStreamState
    from openai.types.chat import ChatCompletionChunk

    def chunk(text: str, finish: str | None) -> ChatCompletionChunk:
        choice = {"index": 0, "delta": {"content": text, "role": "assistant"}, "finish_reason": finish}
        return ChatCompletionChunk.model_validate(
            {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        )

    def run(pieces: list[str]) -> object:
        state = ChatCompletionStreamState(input_tools=[], response_format=BlogPost)
        for piece in pieces:
            for _ in state.handle_chunk(chunk(piece, None)):
                pass
        state.handle_chunk(chunk("", "stop"))
        return state.get_final_completion().choices[0].message.parsed

    return run


def instructor_partial() -> Runner:
    """`Partial[BlogPost]`, which `create_partial` streams."""
    from instructor.dsl.partial import Partial

    partial = Partial[BlogPost]

    def run(pieces: list[str]) -> object:
        last = None
        for last in partial.model_from_chunks(iter(pieces)):  # noqa: B007
            pass
        return last

    return run


def pydantic_ai() -> Runner:
    """`run_stream(...).stream_output(debounce_by=None)`: a value for each token, as ours."""
    from pydantic_ai import Agent, NativeOutput
    from pydantic_ai.models.function import FunctionModel

    def run(pieces: list[str]) -> object:
        async def says(_messages: object, _info: object) -> object:
            for piece in pieces:
                yield piece

        async def go() -> object:
            agent = Agent(FunctionModel(stream_function=says), output_type=NativeOutput(BlogPost))
            last = None
            async with agent.run_stream("go") as result:
                async for last in result.stream_output(debounce_by=None):  # noqa: B007
                    pass
            return last

        return asyncio.run(go())

    return run


def langchain() -> Runner:
    """`JsonOutputParser(pydantic_object=BlogPost)` on the stream."""
    from langchain_core.output_parsers import JsonOutputParser

    def run(pieces: list[str]) -> object:
        last = None
        for last in JsonOutputParser(pydantic_object=BlogPost).transform(iter(pieces)):  # noqa: B007
            pass
        return last

    return run


def ijson_c(*, validate: bool) -> Runner:
    """`ijson.items` of the sections with the C backend; other members are not looked at."""
    import ijson.backends.yajl2_c as ijson

    def run(pieces: list[str]) -> object:
        found: list[object] = []
        items: list[object] = ijson_list()
        parser = ijson.items_coro(items, "sections.item")
        for piece in pieces:
            parser.send(piece.encode())
            if items:
                found += (
                    [Section.model_validate(item).model_dump_json() for item in items] if validate else items
                )
                items.clear()
        parser.close()
        return found

    from ijson.utils import sendable_list as ijson_list

    return run


# name: (how it is made, what it does, whether it reads the buffer again for each piece, characters a piece)
PEERS: dict[str, tuple[Callable[[], Runner], str, bool, int]] = {
    "openai-python's stream": (openai_python, "partial parse for each token, validated at the end", True, 4),
    "instructor, Partial": (instructor_partial, "partial parse and model for each token", True, 4),
    "Pydantic-AI, stream_output": (pydantic_ai, "partial validation for each token", True, 4),
    "LangChain, JsonOutputParser": (langchain, "partial parse for each token, not validated", True, 4),
    "ijson (C)": (lambda: ijson_c(validate=False), "sections as dicts, not validated", False, 4),
    "ijson (C) and Pydantic": (lambda: ijson_c(validate=True), "sections validated and dumped", False, 4),
    "ijson (C) and Pydantic, 4 KB pieces": (
        lambda: ijson_c(validate=True),
        "the same, fed as a buffer",
        False,
        4096,
    ),
}


def main() -> None:
    """Measure each, at a smaller size first where it grows as the square."""
    warnings.simplefilter("ignore")
    size, limit_s = int(sys.argv[1]), float(sys.argv[2])
    rows: dict[str, dict[str, object]] = {}
    for name, (make, what, reparses, chars) in PEERS.items():
        try:
            run = make()
            small = size // 10
            cpu_s = _cpu_s(run, tokens(prose(small), chars))
            if not reparses:
                cpu_s = min(_cpu_s(run, tokens(prose(size), chars)) for _ in range(5))
            elif cpu_s * 100 <= limit_s:
                cpu_s = _cpu_s(run, tokens(prose(size), chars))
            else:
                cpu_s, what = cpu_s * 100, f"{what}; extrapolated from {small // 1000} KB"
        except Exception as error:  # a version that does it differently: say so, and go on with the others
            rows[name] = {"missing": f"{type(error).__name__}: {error}"}
            continue
        rows[name] = {"cpu_s": cpu_s, "what": what, "reparses": reparses, "pieces_chars": chars}
    print(json.dumps(rows))


def _cpu_s(run: Runner, pieces: list[str]) -> float:
    began = time.process_time()
    if not run(pieces):
        raise AssertionError("expected a document, got nothing")
    return time.process_time() - began


if __name__ == "__main__":
    main()
