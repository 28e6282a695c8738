"""Streamed validation: exact, linear, early, and in calls so short that an event loop does not notice.

Why so: pydantic-core holds the GIL while it validates, so a document stops the event loop for as long from a thread as
inline, and parsing the growing buffer again for each token is quadratic. Here each byte is parsed once, by Pydantic,
when the value that it belongs to closes:

    text -> streamed.py   holds text until something may have closed, keeps all of it, gives the verdict
              cutter.py   finds where parts end (scanner.py), checks what stands between them (stack.py: where it is)
                frames.py, lists.py, huge.py   validate parts, dump them, assemble what contains them
                  slices.py, dump.py           Pydantic's word on one slice; the bytes that it became
              syntax.py   has the parser say what is wrong with text that is not JSON
              whole.py    judges the whole text where only that can tell (adapters/judge.py: in a child process)
    plan.py, leaf.py, nodes.py, coreschema.py  decide once a model what is cut, and make its validators
    values.py, document.py, text.py, locations.py  what is handed out, what is kept, where an error is

Exact are all models; cut are those whose parts Pydantic would have validated in the same way (plan.py says which are
not). A cut document is the same parse: the glue between slices is checked, each slice is accepted whole by Pydantic,
and the containers are assembled by their own core schemas. Any surprise on the way makes the whole text the judge's,
so a mistake in finding the cuts costs time and never a verdict.
"""

from pydantic_streaming.document import Document
from pydantic_streaming.plan import Plan, plan_for
from pydantic_streaming.streamed import StreamedValidator
from pydantic_streaming.values import InvalidDocument, Value, Violation
from pydantic_streaming.whole import WholeText

__all__ = [
    "Document",
    "InvalidDocument",
    "Plan",
    "StreamedValidator",
    "Value",
    "Violation",
    "WholeText",
    "plan_for",
]
