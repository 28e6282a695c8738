"""What one call of the model is asked for: known before it is made (attempt.py is what comes of it)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from weir.light_tuples import LightTuple
from weir.providers.routes import Route
from weir.providers.structured_output import StructuredOutput

if TYPE_CHECKING:
    from pydantic import BaseModel

    from weir.generate.retry import Retry


class Asked(LightTuple):
    """What one attempt asks of whom: `input_chars` is all that the model reads, `max_tokens` all that it may write.

    `schema` gives the model of the document, where one was asked for.
    """

    route: Route
    input_chars: int
    max_tokens: int
    structured: StructuredOutput | None = None
    schema: Callable[[], type[BaseModel]] | None = None
    retry: Retry | None = None
    document: dict[str, Any] | None = None
    passes_tools: bool = False
