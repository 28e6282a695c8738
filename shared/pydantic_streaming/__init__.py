"""Streamed validation: exact, linear, early, and in calls so short that an event loop does not notice.

Why so: pydantic-core holds the GIL while it validates, so a document stops the event loop for as long from a thread as
inline, and parsing the growing buffer again for each token is quadratic. Here each byte is parsed once, by Pydantic,
when the value that it belongs to closes:

    text -> streamed.py   holds text until something may have closed, keeps all of it, gives the verdict
              splitter.py   finds where parts end (scanner.py), checks what stands between them, knows where it is
                containers.py, objects.py   validate parts, dump them, assemble what contains them
              syntax.py   Pydantic's word on one part, and the parser's on text that is not JSON
              whole.py    validates the whole text where only that can tell; in a child process, if you like
                bounded.py    so that no more errors are made than are read
    plan.py, reasons.py, core_schema.py   decide once a model what is split, and make its validators
    hazards.py  which models can hold the loop all the same, and are refused
    values.py, document.py, buffers.py, errors.py   what is handed out, what is kept, what is raised

Exact are all models; split are those whose parts Pydantic would have validated in the same way (plan.py says which are
not). A split document is the same parse: the glue between parts is checked, each part is accepted whole by Pydantic,
and the containers are assembled by their own core schemas. Whatever is not as expected leaves the verdict to the whole
text, so a mistake in finding the parts costs time and never a verdict.
"""

import re

from pydantic import VERSION

from pydantic_streaming.document import Document
from pydantic_streaming.errors import InvalidDocument, StreamingError, UnsafeSchema, UnsupportedPydantic
from pydantic_streaming.hazards import check_model, hazards_of
from pydantic_streaming.plan import Plan, plan_for
from pydantic_streaming.streamed import StreamedValidator
from pydantic_streaming.values import Value, Violation
from pydantic_streaming.whole import Report, WholeText, validate_whole

__all__ = [
    "Document",
    "InvalidDocument",
    "Plan",
    "Report",
    "StreamedValidator",
    "StreamingError",
    "UnsafeSchema",
    "UnsupportedPydantic",
    "Value",
    "Violation",
    "WholeText",
    "check_model",
    "hazards_of",
    "plan_for",
    "validate_whole",
]
__version__ = "0.1.0"

# Before 2.13 a model's own validator quietly takes the place of the one that assembles its parts, and every text would
# be validated whole; 2.13.0 and 2.13.1 tell a validator no `field_name` when they read JSON, where the parts have it.
# The differential tests run on this version and on the newest.
if tuple(int(number) for number in re.findall(r"\d+", VERSION)[:3]) < (2, 13, 2):
    raise UnsupportedPydantic(f"pydantic_streaming: expected pydantic >= 2.13.2, got {VERSION}")
