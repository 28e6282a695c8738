"""Streamed validation."""

from weir.core.validation.document import Document
from weir.core.validation.plan import Plan, plan_for
from weir.core.validation.streamed import StreamedValidator
from weir.core.validation.values import InvalidDocument, Value, Violation
from weir.core.validation.whole import WholeText

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
