"""Generated models and texts: streamed validation and `Model.model_validate_json` never differ (`make fuzz` for more)."""

import warnings
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.validation import one_case


# The draws of the cases are Hypothesis's own, so that a failing one shrinks.
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_no_text_is_validated_otherwise_than_by_pydantic(random: Random) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # generated models shadow and deprecate as they like
        one_case(random)
