"""What earlier requests of this process taught: the ground on which an estimate stands, where nothing was counted."""

from typing import TYPE_CHECKING, Any

from weir.outcomes import Outcome

if TYPE_CHECKING:
    from weir.generate.attempt import Attempt
    from weir.pricing.usage import Usage


class UsageEstimator:
    """Means over what providers counted, by model and by schema; it begins empty with every environment."""

    def __init__(self) -> None:
        self.chars_per_token: dict[str, float] = {}  # of input, by model, as last counted
        # Whole documents and the sum of their output tokens, by model and schema.
        self.whole_documents: dict[tuple[str, str], tuple[int, int]] = {}

    def observe(self, attempt: "Attempt", schema: str | None) -> None:
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

    def estimate(self, attempt: "Attempt", schema: str | None = None) -> "Usage":
        """The usage of an attempt that the provider has not counted, or not yet.

        Where hanging up does not stop the meter, what was going to come is bought too: as much as whole documents of
        that model and schema usually take, once that is known.
        """
        from weir.pricing.usage import DEFAULT_CHARS_PER_TOKEN, estimate_usage  # attempts have imported it

        ratio = self.chars_per_token.get(attempt.answering_model, DEFAULT_CHARS_PER_TOKEN)
        usage = estimate_usage(
            attempt.usage, attempt.input_chars, ratio, attempt.output_chars, attempt.deltas
        )
        if schema and attempt.ended_by_us and not attempt.asked.route.stops_billing:
            documents, tokens = self.whole_documents.get((attempt.answering_model, schema), (0, 0))
            if documents and usage.output_tokens is not None and usage.input_tokens is not None:
                output_tokens = max(usage.output_tokens, round(tokens / documents))
                total = usage.input_tokens + output_tokens
                usage = usage._replace(output_tokens=output_tokens, total_tokens=total)
        return usage

    def not_bought(self, attempt: "Attempt", schema: str) -> dict[str, Any] | None:
        """The output tokens that ending an answer at its violation spared; None without anything to compare with, and
        where hanging up does not stop the provider's meter, or nobody knows that it does.

        An estimate, labelled with its method: how long the answer would have become is known to nobody.
        """
        documents, tokens = self.whole_documents.get((attempt.answering_model, schema), (0, 0))
        bought = attempt.usage.output_tokens
        stopped = attempt.verdict is not None and attempt.verdict.violations and attempt.ended_by_us
        if not stopped or not attempt.asked.route.stops_billing or not documents or bought is None:
            return None
        return {
            "output_tokens": max(0, round(tokens / documents) - bought),
            "method": f"estimated: mean of {documents} whole documents of this model and schema in this environment",
        }
