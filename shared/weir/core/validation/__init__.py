"""Streamed validation."""

from weir.core.validation.document import Document
from weir.core.validation.plan import Plan, plan_for
from weir.core.validation.streamed import StreamedValidator, WholeText
from weir.core.validation.values import InvalidDocument, Value, Violation

__all__ = ["Document", "InvalidDocument", "Plan", "StreamedValidator", "Value", "Violation", "WholeText", "plan_for"]
