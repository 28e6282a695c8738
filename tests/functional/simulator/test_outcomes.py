"""Every built-in script through the whole of generate: one final event or status, and the outcome it has to have.

Left out are the scripts that only end by a timeout of a minute: generate's own tests shorten those.
"""

import asyncio

import pytest

from infra.local.simulator import SCRIPTS, Simulator
from tests.functional.generate.door import Answer, door, facts

ENDED_BY_TIME = {"sim-no-headers", "sim-stall", "sim-stall-early", "sim-pings", "sim-drip"}
SLOW = {"sim-1", "sim-slow", "sim-long"}
FINE = {
    "sim-500-once", "sim-429-once",  # asked again
    "sim-fast", "sim-bursty", "sim-split", "sim-crlf", "sim-cr", "sim-gzip", "sim-cached", "sim-reasoning",
    "sim-other-model", "sim-no-usage", "sim-usage-twice", "sim-usage-running", "sim-usage-inconsistent", "sim-odd-event",
}  # fmt: skip
IN_STREAM = {
    "sim-invalid": "invalid_output",
    "sim-invalid-once": "invalid_output",
    "sim-invalid-missing": "invalid_output",
    "sim-invalid-extra": "invalid_output",
    "sim-duplicate-key": "invalid_output",
    "sim-prose": "invalid_output",
    "sim-trailing": "invalid_output",
    "sim-truncated": "truncated_output",
    "sim-filtered": "filtered",
    "sim-refusal": "refused",
    "sim-tool-calls": "upstream_error",
    "sim-cut": "upstream_error",
    "sim-reset": "upstream_error",
    "sim-bad-chunk": "upstream_error",
    "sim-broken-gzip": "upstream_error",
    "sim-silent-end": "incomplete_stream",
    "sim-error-event": "upstream_error",
    "sim-error-event-early": "upstream_error",
    "sim-garbage": "upstream_error",
    "sim-html": "upstream_error",
    "sim-endless-line": "upstream_error",
}
BEFORE_STREAM = {
    "sim-500": (502, "upstream_error"),
    "sim-502": (502, "upstream_error"),
    "sim-503": (503, "upstream_error"),
    "sim-529": (503, "upstream_error"),
    "sim-429": (429, "rate_limited"),
    "sim-429-quota": (503, "rate_limited"),
    "sim-401": (502, "upstream_error"),
    "sim-403": (502, "upstream_error"),
    "sim-400-context": (400, "upstream_error"),
    "sim-400-policy": (422, "filtered"),
    "sim-redirect": (502, "upstream_error"),
    "sim-reset-early": (502, "upstream_error"),
    "sim-bad-status": (502, "upstream_error"),
}


def ask(simulator: Simulator, monkeypatch: pytest.MonkeyPatch, model: str) -> Answer:
    async def request() -> Answer:
        async with door(simulator.base_url, monkeypatch) as generate:
            body = {"prompt": f"Write about {model}.", "schema": "blog_post", "model": model}
            return await generate.request(body)

    return asyncio.run(request())


def test_every_script_has_its_expectation() -> None:
    assert ENDED_BY_TIME | SLOW | FINE | {"sim-invalid-utf8"} | set(IN_STREAM) | set(BEFORE_STREAM) == set(
        SCRIPTS
    )


@pytest.mark.parametrize("model", sorted(FINE))
def test_a_good_document_is_ok_however_it_comes(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    kind, final = ask(simulator, monkeypatch, model).final
    assert (kind, final["outcome"]) == ("done", "ok")


@pytest.mark.parametrize(("model", "outcome"), IN_STREAM.items())
def test_what_goes_wrong_in_the_stream_is_its_final_event(
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    model: str,
    outcome: str,
) -> None:
    simulator.reset()
    answer = ask(simulator, monkeypatch, model)
    kind, final = answer.final
    assert (answer.status, kind, final["outcome"]) == (200, "error", outcome)
    completed = [fact for fact in facts(capsys.readouterr().out) if fact["kind"] == "request.completed"]
    assert [fact["outcome"] for fact in completed] == [outcome]


def test_text_that_is_no_utf8_is_judged_with_replacement_characters(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = ask(simulator, monkeypatch, "sim-invalid-utf8")
    assert "caf\ufffd" in answer.text
    # Inside a string it is text like any other, outside it breaks the document.
    assert answer.final[1]["outcome"] in ("ok", "invalid_output")


@pytest.mark.parametrize(("model", "expected"), BEFORE_STREAM.items())
def test_what_goes_wrong_before_the_stream_is_a_status(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, model: str, expected: tuple[int, str]
) -> None:
    simulator.reset()
    answer = ask(simulator, monkeypatch, model)
    assert (answer.status, answer.problem["outcome"]) == expected
    assert all(exchange.path != "/elsewhere" for exchange in simulator.requests()), "a redirect was followed"


def test_the_violation_closes_the_upstream_and_the_rest_is_not_bought(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator.reset()
    answer = ask(simulator, monkeypatch, "sim-invalid")
    exchange = asyncio.run(simulator.settled_requests())[-1]
    (violation,) = answer.final[1]["violations"]
    assert violation["path"] == exchange.violation_path
    assert exchange.closed_at_token is not None and exchange.object_closes_at_token is not None
    # The script sends a token every six milliseconds: what is on its way when we close is a token or two, and some
    # more where the machine is busy.
    assert exchange.closed_at_token <= exchange.object_closes_at_token + 40
    assert exchange.closed_at_token < exchange.tokens_scripted
