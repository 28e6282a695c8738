"""What earlier requests of this process taught: the ground on which an estimate stands, where nothing was counted."""

from dataclasses import dataclass, field
from typing import Any

from weir.generate.attempt import Attempt
from weir.outcomes import Outcome
from weir.pricing.usage import DEFAULT_CHARS_PER_TOKEN, Usage, estimate_usage


@dataclass(slots=True)
class UsageEstimator:
    """Means over what providers counted, by model and by schema; it begins empty with every environment."""

    # Characters of input per token, by model, as last counted.
    chars_per_token: dict[str, float] = field(default_factory=dict)
    # Whole documents and the sum of their output tokens, by model and schema.
    whole_documents: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def observe(self, attempt: Attempt, schema: str | None) -> None:
        """Take in an attempt that has ended, if the provider counted it."""
        usage, model = attempt.usage, attempt.answering_model
        if usage.source != "provider" or not usage.complete or usage.inconsistent:
            return
        if usage.input_tokens:
            self.chars_per_token[model] = attempt.input_chars / usage.input_tokens
        if (
            schema
            and attempt.verdict
            and attempt.verdict.outcome is Outcome.OK
            and attempt.number == 1
            and usage.output_tokens
        ):
            documents, tokens = self.whole_documents.get((model, schema), (0, 0))
            self.whole_documents[model, schema] = (documents + 1, tokens + usage.output_tokens)

    def estimate(self, attempt: Attempt) -> Usage:
        """The usage of an attempt that the provider has not counted, or not yet."""
        ratio = self.chars_per_token.get(attempt.answering_model, DEFAULT_CHARS_PER_TOKEN)
        return estimate_usage(attempt.usage, attempt.input_chars, ratio, attempt.output_chars, attempt.deltas)

    def not_bought(self, attempt: Attempt, schema: str) -> dict[str, Any] | None:
        """The output tokens that ending an answer at its violation spared; None without anything to compare with.

        An estimate, labelled with its method: how long the answer would have become is known to nobody.
        """
        documents, tokens = self.whole_documents.get((attempt.answering_model, schema), (0, 0))
        bought = attempt.usage.output_tokens
        ended_by_us = not (attempt.decoder.terminated or attempt.decoder.finish)
        if (
            not (attempt.verdict and attempt.verdict.violations)
            or not ended_by_us
            or not documents
            or bought is None
        ):
            return None
        return {
            "output_tokens": max(0, round(tokens / documents) - bought),
            "method": f"estimated: mean of {documents} whole documents of this model and schema in this environment",
        }
