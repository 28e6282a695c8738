"""Streamed validation against the libraries, its memory, and what is read after a violation.

The libraries run in an environment of their own (peers.lock), with `tests/bench/peers/streamed.py`; rows that they
cannot give are named.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pydantic_streaming import StreamedValidator, Violation
from tests.bench.artifacts import PEERS, ROOT
from tests.bench.documents import BlogPost, Dense, dense, prose, tokens
from tests.bench.tables import Bound, Table

KB, MB = 1_000, 1_000_000
PEER_PYTHON = os.environ.get("BENCH_PEER_PYTHON", str(ROOT / ".venv-peers/bin/python"))
PEER_SECONDS = 60


# Each figure from a process of its own: what the allocator keeps of one would be counted against the next.
_RESIDENT = """
import sys
from pathlib import Path
from tests.bench.documents import BlogPost, Dense
from pydantic_streaming import StreamedValidator
what, name, path = sys.argv[1:]
streams = what != "model"
model = {"BlogPost": BlogPost, "Dense": Dense}[name]
StreamedValidator(model).feed('{"title":"t","summary":"s","tags":[],"points":[{"x":1.0,"y":2.0},')
def status(key):
    return int(next(l for l in open("/proc/self/status") if l.startswith(key)).split()[1]) * 1024
before = status("VmRSS")
if streams:
    validator = StreamedValidator(model, instances=what == "kept")
    with open(path, encoding="utf-8", newline="") as file:
        while piece := file.read(64):
            validator.feed(piece)
    document = validator.close()
    assert not validator.fallback
else:
    document = model.model_validate_json(Path(path).read_bytes())
print(status("VmHWM" if streams else "VmRSS") - before)
"""


def memory() -> Table:
    """Resident memory of 10 MB, streamed, against the text and the model."""
    rows: list[list[str | float]] = []
    bounds: list[Bound] = []
    if not Path("/proc/self/status").exists():
        return Table("Memory", [], [], notes=["Not measured: there is no /proc here."])
    for name, write, model in (("prose", prose, BlogPost), ("dense", dense, Dense)):
        text = write(10 * MB).encode()
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            file.write(text)
            file.flush()
            made, dropped, kept = (
                int(_python(sys.executable, "-c", _RESIDENT, what, model.__name__, file.name))
                for what in ("model", "dropped", "kept")
            )
        size = len(text)
        rows.append([name, size / MB, made / MB, dropped / MB, kept / MB, (kept - made - size) / size])
        bounds.append(
            Bound(f"beyond text and model, in texts, {name}, 10 MB", (kept - made - size) / size, 1)
        )
        bounds.append(
            Bound(f"without instances against text and model, {name}, 10 MB", dropped / (size + made), 1)
        )
    columns = [
        "text",
        "text, MB",
        "model, MB",
        "peak, MB",
        "peak, instances kept, MB",
        "beyond text and model, in texts",
    ]
    notes = ["Resident memory, each figure from a process of its own. What is held is the text, because it may have to"
             " be judged whole, and the document's JSON; instances only on request."]  # fmt: skip
    return Table("Memory of streamed validation", columns, rows, bounds, notes)


def against_the_libraries(ours_s: float) -> Table:
    """CPU of a 100 KB document, ours (`ours_s`) and everyone else's."""
    size = 100 * KB
    rows: list[list[str | float | None]] = [["ours", ours_s * 1e3, 1.0, "validated, dumped, every value"]]
    bounds: list[Bound] = []
    notes = ["CPU for one document of 100 KB, four characters a token. Re-parsers read the buffer again for each"
             " token; what would take over a minute is extrapolated from a smaller document (it grows as the square)."]  # fmt: skip
    if not Path(PEER_PYTHON).exists():
        notes.append(
            f"MISSING: every other row; {PEER_PYTHON} is not there (make bench makes it from peers.lock)."
        )
        return Table("Against the libraries", ["who", "ms", "x ours", "what it does"], rows, bounds, notes)
    answer = json.loads(_python(PEER_PYTHON, str(PEERS / "streamed.py"), str(size), str(PEER_SECONDS)))
    for name, row in answer.items():
        if "missing" in row:
            notes.append(f"MISSING: {name}: {row['missing']}")
            continue
        ratio = row["cpu_s"] / ours_s
        rows.append([name, row["cpu_s"] * 1e3, ratio, row["what"]])
        if row["reparses"]:
            bounds.append(Bound(f"ours against {name}", 1 / ratio, 1 / 100))
        elif row["pieces_chars"] == 4:
            bounds.append(Bound(f"ours against {name}", 1 / ratio, 1))
    return Table("Against the libraries", ["who", "ms", "x ours", "what it does"], rows, bounds, notes)


def stopping() -> Table:
    """How much is read after the wrong value closed."""
    text = prose(100 * KB)
    begin = text.index('"body":"', len(text) // 10)
    wrong = text[:begin] + '"body":17' + text[text.index('"}', begin) + 1 :]
    closed = begin + len('"body":17}')
    rows: list[list[str | int | float]] = []
    bounds: list[Bound] = []
    for chars in (1, 4, 16):
        validator = StreamedValidator(BlogPost)
        read = 0
        for piece in tokens(wrong, chars):
            read += len(piece)
            if any(isinstance(event, Violation) for event in validator.feed(piece)):
                break
        beyond = read - -(-closed // chars) * chars
        rows.append([chars, closed, read, beyond, read / len(wrong) * 100])
        bounds.append(
            Bound(f"characters read beyond the piece that closed the value, {chars} a piece", beyond, 0, "")
        )
    columns = ["characters a piece", "value closed at", "read", "beyond that piece", "% of the document"]
    return Table("Stopping at a violation", columns, rows, bounds)


def _python(python: str, *arguments: str) -> str:
    path = os.pathsep.join((str(ROOT), str(ROOT / "shared")))
    done = subprocess.run(
        [python, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout
