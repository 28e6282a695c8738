"""Every protocol through the whole of generate: asked by its route, read by its decoder, told and booked alike.

The simulator stands in for each provider; Bedrock is asked with the function's role, whose signature it gets.
"""

from collections.abc import Iterator

import pytest

from infra.local.simulator import Simulator
from tests.functional.generate.door import Answer, door, facts, set_policy
from tests.functional.generate.scripted import completion, provider

PATHS = {"openai-responses": "/v1", "anthropic": "/v1", "bedrock": "", "gemini": "/v1beta"}
ROLE = {"WEIR_UPSTREAM_KEY": "role", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token"}  # fmt: skip


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


async def ask(
    simulator: Simulator, provider: str, model: str, monkeypatch: pytest.MonkeyPatch, schema: bool = True
) -> Answer:
    environment = {"WEIR_UPSTREAM_PROVIDER": provider}
    if provider == "bedrock":
        environment |= ROLE
    body = {"prompt": f"Write about {model}.", "model": model} | ({"schema": "blog_post"} if schema else {})
    async with door(simulator.origin + PATHS[provider], monkeypatch, **environment) as generate:
        set_policy(generate, retries=0)
        return await generate.request(body)


@pytest.mark.parametrize("provider", list(PATHS))
@pytest.mark.parametrize(
    "model",
    ["sim-fast", "sim-split", "sim-bursty", "sim-gzip", "sim-odd-event", "sim-reasoning", "sim-cached"],
)
async def test_a_good_document_is_ok_however_it_comes(
    simulator: Simulator,
    provider: str,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = await ask(simulator, provider, model, monkeypatch)
    assert (answer.final[0], answer.final[1]["outcome"]) == ("done", "ok"), answer.final[1]
    usage = answer.final[1]["usage"]
    assert usage["source"] == "provider" and usage["output_tokens"] > 50
    [attempt] = facts(capsys.readouterr().out)[-1]["attempts"]
    assert attempt["structured_output"] == "native" and attempt["outcome"] == "ok"


@pytest.mark.parametrize("provider", list(PATHS))
@pytest.mark.parametrize(
    ("model", "outcomes"),
    [
        ("sim-invalid", {"invalid_output"}),
        ("sim-truncated", {"truncated_output"}),
        ("sim-refusal", {"refused", "filtered"}),
        ("sim-error-event", {"upstream_error"}),
        ("sim-garbage", {"upstream_error"}),
        ("sim-cut", {"upstream_error"}),
        ("sim-silent-end", {"incomplete_stream"}),
    ],
)
async def test_what_goes_wrong_in_the_stream_is_its_final_event(
    simulator: Simulator, provider: str, model: str, outcomes: set[str],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    answer = await ask(simulator, provider, model, monkeypatch)
    assert answer.final[0] == "error" and answer.final[1]["outcome"] in outcomes, answer.final[1]


@pytest.mark.parametrize("provider", list(PATHS))
@pytest.mark.parametrize(
    ("model", "outcome", "status"),
    [
        ("sim-429", "rate_limited", 429),
        ("sim-500", "upstream_error", 502),
        ("sim-400-context", "upstream_error", 400),
    ],
)
async def test_what_goes_wrong_before_the_stream_is_a_status(
    simulator: Simulator, provider: str, model: str, outcome: str, status: int,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    answer = await ask(simulator, provider, model, monkeypatch)
    assert (answer.problem["outcome"], answer.status) == (outcome, status), answer.problem


@pytest.mark.parametrize("provider", list(PATHS))
async def test_plain_text_is_whole_and_counted(
    simulator: Simulator, provider: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await ask(simulator, provider, "sim-fast", monkeypatch, schema=False)
    assert answer.final[1]["outcome"] == "ok" and len(answer.text) > 200
    counted = answer.final[1]["usage"]
    assert counted["total_tokens"] in (None, counted["input_tokens"] + counted["output_tokens"])


@pytest.mark.parametrize("name", ["bedrock-openai", "bedrock-responses"])
async def test_bedrocks_openai_paths_take_a_bearer_that_is_minted_from_the_role(
    simulator: Simulator, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = ROLE | {"WEIR_UPSTREAM_PROVIDER": name, "AWS_REGION": "eu-central-1"}
    async with door(f"{simulator.origin}/v1", monkeypatch, **environment) as generate:
        answer = await generate.request({"prompt": "Write.", "model": "sim-fast", "schema": "blog_post"})
    assert answer.final[1]["outcome"] == "ok", answer.final[1]
    async with (
        provider(completion("Hi.")) as upstream,
        door(upstream.base_url, monkeypatch, **environment) as generate,
    ):
        await generate.request({"prompt": "Write."})
    key = upstream.headers[0]["authorization"].removeprefix("bearer bedrock-api-key-")
    assert key != upstream.headers[0]["authorization"]
    capsys.readouterr()


async def test_the_tokens_of_an_endpoint_without_a_profile_are_its_sellers(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "weir.pricing.price_book.PriceBook.seller_of",
        lambda book, base_url: "novita" if base_url == f"{simulator.origin}/v1" else None,
    )
    async with door(f"{simulator.origin}/v1", monkeypatch) as generate:
        answer = await generate.request({"prompt": "Write.", "model": "sim-fast"})
    assert answer.final[1]["outcome"] == "ok"
    assert [attempt["seller"] for attempt in facts(capsys.readouterr().out)[-1]["attempts"]] == ["novita"]
