"""The validator process: a child that validates large texts with `Model.model_validate_json`, spoken to over two pipes.

Not a thread: pydantic-core holds the GIL from the first byte to the last, so a thread stops the event loop for as long
as doing it inline. Not `multiprocessing` or `ProcessPoolExecutor`: their locks need /dev/shm, which Lambda has not.
Bytes go in and bytes come back, in small pieces on both ways; instances never cross, because unpickling a model stops
the loop like validating it.

Use::

    process = ValidatorProcess()                # costs nothing: the child starts with the first large text
    document = await close(validator, process)  # a Document, or InvalidDocument
    await process.aclose()                      # at shutdown; the child also ends with its parent, by end of file

Frames on the pipes, both ways: the length of a JSON header as four bytes, the header, then as many bytes as it says.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import signal
import sys
from typing import Any, BinaryIO

from pydantic import BaseModel

from pydantic_streaming import (
    Document,
    Report,
    StreamedValidator,
    Value,
    Violation,
    WholeText,
    validate_whole,
)
from weir.errors import ProcessError

__all__ = ["ValidatorProcess", "close", "serve"]

READ_BYTES = 65536
# The child finds its modules where the parent does, and its end when the parent's end of the pipe closes.
_BOOT = "import sys; sys.path[:] = sys.argv[1:]; from weir.generate.validator_process import serve; serve()"


async def close(validator: StreamedValidator, process: ValidatorProcess) -> Document:
    """Say that the text is finished and return the document, without stopping the loop whatever its size.

    Cancelling it while the child works kills the child; the next text starts another.

    Raises:
        InvalidDocument: the text is not a valid document; with Pydantic's errors for the whole text.
    """
    outcome = validator.end()
    if isinstance(outcome, Document):
        return outcome
    return validator.finish(await process.validate(outcome) if outcome.large else outcome.validate())


class ValidatorProcess:
    """One child process, started when first needed, that validates one text at a time.

    `started` counts the children; `inline` counts the texts that had to be validated in this process because the model
    is not to be found by its name (a class made inside a function) or because the child failed.
    """

    def __init__(self) -> None:
        self.started = 0
        self.inline = 0
        self._child: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Start the child now, so that the first large text does not wait for its imports (about 0.3 s)."""
        async with self._turn:
            await self._running()

    async def validate(self, text: WholeText) -> Report:
        """Return the verdict on `text`; whatever goes wrong with the child, it is reached, if need be inline."""
        name = _name(text.model)
        if name is not None and text.unencodable is None:
            async with self._turn:
                with contextlib.suppress(OSError, EOFError, ChildFailed):
                    return await self._ask(name, text)
        self.inline += 1
        return text.validate()

    async def aclose(self) -> None:
        """End the child."""
        async with self._turn:
            if self._child is not None:
                await _end(self._child)
                self._child = None

    async def _running(self) -> asyncio.subprocess.Process:
        if self._child is None or self._child.returncode is not None:
            self.started += 1
            self._child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _BOOT,
                *sys.path,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        return self._child

    async def _ask(self, name: str, text: WholeText) -> Report:
        child = await self._running()
        answered = False
        try:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(_frame({"model": name, "allow_nan": text.allow_nan, "size": text.size_bytes}))
            for piece in text.pieces:
                child.stdin.write(piece)
                await child.stdin.drain()
            header = json.loads(
                await child.stdout.readexactly(int.from_bytes(await child.stdout.readexactly(4)))
            )
            parts = [await _read(child.stdout, size) for size in header["parts"]]
            answered = True
        finally:
            if not answered:
                # Cancelled or broken half-way: what is in the pipes belongs to no one.
                self._child = None
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await asyncio.shield(child.wait())
        if "failed" in header:
            raise ChildFailed(header["failed"])
        return Report(
            values=tuple(Value(path, parts[index]) for path, index in header["values"]),
            parts=tuple(parts),
            violations=tuple(Violation(path, tuple(loc), *rest) for path, loc, *rest in header["violations"]),
            error_count=header["error_count"],
        )


class ChildFailed(ProcessError):
    """The child could not validate: it does not find the model, or a validator raised what Pydantic lets through."""


async def _read(reader: asyncio.StreamReader, size: int) -> bytes:
    pieces = []
    while size:
        piece = await reader.readexactly(min(size, READ_BYTES))
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces) if len(pieces) != 1 else pieces[0]


async def _end(child: asyncio.subprocess.Process) -> None:
    assert child.stdin is not None
    child.stdin.close()
    try:
        await asyncio.wait_for(child.wait(), 1)
    except TimeoutError:
        child.kill()
        await child.wait()


def _name(model: type[BaseModel]) -> str | None:
    """Return where a child finds `model`, None where it would find nothing or something else."""
    found: Any = sys.modules.get(model.__module__)
    for part in model.__qualname__.split("."):
        found = getattr(found, part, None)
    return (
        f"{model.__module__}:{model.__qualname__}"
        if found is model and model.__module__ != "__main__"
        else None
    )


def _frame(header: dict[str, Any]) -> bytes:
    written = json.dumps(header).encode()
    return len(written).to_bytes(4) + written


def serve() -> None:
    """Be the child: validate texts from standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent; the child follows it
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a validator prints must not get between the frames
    while len(length := requests.read(4)) == 4:
        header = json.loads(requests.read(int.from_bytes(length)))
        _answer(answers, header, requests.read(header["size"]))


def _answer(answers: BinaryIO, asked: dict[str, Any], text: bytes) -> None:
    try:
        module, _, name = asked["model"].partition(":")
        model: Any = importlib.import_module(module)
        for part in name.split("."):
            model = getattr(model, part)
        report = validate_whole(model, text, allow_nan=asked["allow_nan"])
    except Exception as error:
        # Anything at all: the parent then validates inline and meets it there, where it can be handled.
        answers.write(_frame({"failed": f"{type(error).__name__}: {error}", "parts": []}))
        answers.flush()
        return
    places = {id(part): index for index, part in enumerate(report.parts)}
    answers.write(
        _frame(
            {
                "values": [(value.path, places[id(value.json)]) for value in report.values],
                "parts": [len(part) for part in report.parts],
                "violations": [(v.path, v.loc, v.type, v.message) for v in report.violations],
                "error_count": report.error_count,
            }
        )
    )
    for part in report.parts:
        answers.write(part)
    answers.flush()
