"""The models' file: what a name leads to, and what is wrong with a file, by the member's name."""

from typing import Any

import pytest

from weir.providers.profiles import PROFILES, profile_of_host
from weir.providers.routes import DEFAULT_MAX_OUTPUT_TOKENS, RoutesError, parse_routes, single_route

FILE: dict[str, Any] = {
    "default": "fast",
    "models": {
        "fast": {
            "provider": "openai",
            "model": "gpt-5.6-mini",
            "key": "secretsmanager:openai",
            "fallbacks": ["careful"],
        },
        "careful": {
            "provider": "bedrock",
            "region": "eu-central-1",
            "model": "eu.anthropic.claude-sonnet-5-v1:0",
            "key": "role",
            "max_output_tokens": 8000,
            "context_tokens": 200_000,
        },
        "own": {
            "base_url": "http://10.0.0.7:8000/v1/",
            "provider": "vllm",
            "model": "m",
            "cap": "max_new_tokens",
        },
    },
    "schemas": {"blog_post": {"max_output_tokens": 6000}},
}


def test_a_name_leads_to_a_route_with_its_providers_profile() -> None:
    routes = parse_routes(FILE)
    fast, careful, own = (routes.find(name) for name in ("fast", "careful", "own"))
    assert routes.find(None) == fast and fast and careful and own
    assert (fast.base_url, fast.profile.cap, fast.stops_billing) == (
        "https://api.openai.com/v1", "max_completion_tokens", True,
    )  # fmt: skip
    assert careful.base_url == "https://bedrock-runtime.eu-central-1.amazonaws.com"
    assert (careful.profile.protocol, careful.key, careful.stops_billing) == ("converse", "role", False)
    assert (own.base_url, own.profile.cap) == ("http://10.0.0.7:8000/v1", "max_new_tokens")
    assert [route.name for route in routes.chain(fast)] == ["fast", "careful"]


def test_a_name_that_is_not_in_the_file_is_not_found_and_the_names_that_are_can_be_told() -> None:
    routes = parse_routes(FILE)
    assert routes.find("gpt-4") is None
    assert routes.names == ("fast", "careful", "own")


def test_every_attempt_has_a_cap_the_callers_or_the_schemas_and_never_more_than_the_routes() -> None:
    routes = parse_routes(FILE)
    fast, careful = routes.routes["fast"], routes.routes["careful"]
    assert routes.cap_for(fast, "blog_post", None) == 6000
    assert (
        routes.cap_for(fast, "other", None) == routes.cap_for(fast, None, None) == DEFAULT_MAX_OUTPUT_TOKENS
    )
    assert routes.cap_for(fast, "blog_post", 9_000) == 9_000
    assert routes.cap_for(careful, None, 10**9) == 8000


def test_two_settings_are_one_route_that_takes_any_models_name() -> None:
    routes = single_route("https://api.groq.com/openai/v1", "llama", "ssm:/k")
    assert routes.find(None) is routes.routes["llama"]
    other = routes.find("another")
    assert other and (other.model, other.profile.name) == ("another", "groq")


@pytest.mark.parametrize(
    ("host", "profile"),
    [
        ("api.openai.com", "openai"),
        ("mine.openai.azure.com", "azure"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "bedrock-openai"),
        ("api.x.ai", "xai"),
        ("localhost", "generic"),
        ("evil-openai.azure.com.example", "generic"),
    ],
)
def test_an_endpoint_is_known_by_its_host(host: str, profile: str) -> None:
    assert profile_of_host(host).name == profile


def test_the_seller_is_the_providers_and_for_bedrock_that_of_the_region() -> None:
    routes = parse_routes(FILE).routes
    assert (routes["fast"].seller, routes["careful"].seller) == ("openai", "aws/eu-central-1")
    single = single_route("https://bedrock-runtime.eu-west-3.amazonaws.com/openai/v1", "m", "role").routes[
        "m"
    ]
    assert single.seller == "aws/eu-west-3"


def test_a_call_is_hedged_only_where_a_model_says_so_and_hanging_up_stops_the_meter() -> None:
    assert all(found.hedge_s is None for found in parse_routes(FILE).routes.values())
    assert parse_routes(changed("fast", hedge_s=2)).routes["fast"].hedge_s == 2.0
    assert parse_routes(changed("careful", hedge_s=2, cancel="stops")).routes["careful"].hedge_s == 2.0


def test_each_named_provider_has_a_profile() -> None:
    assert {
        "openai", "azure", "anthropic", "bedrock", "gemini", "openrouter", "groq", "mistral", "deepseek", "xai",
        "together", "vllm", "ollama", "llama.cpp", "litellm",
    } <= set(PROFILES)  # fmt: skip


def changed(name: str, /, **members: Any) -> dict[str, Any]:
    models = {key: dict(value) for key, value in FILE["models"].items()}
    models[name].update(members)
    return FILE | {"models": models}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "models: expected a table, got NoneType"),
        ({"models": {}}, "models: expected at least one model"),
        (FILE | {"modles": {}}, "models' file: expected clocks, default, models, schemas, got 'modles'"),
        (FILE | {"default": "x"}, "default: expected one of fast, careful, own, got 'x'"),
        ({"models": {"a b": {}}}, "models.a b: expected a name"),
        ({"models": {"a": []}}, "models.a: expected a table, got list"),
        (changed("fast", provider="opnai"), "models.fast.provider: expected one of generic, simulator, openai"),
        (changed("fast", modle="x"), "models.fast: expected base_url, .* got 'modle'"),
        (changed("fast", model=""), "models.fast.model: expected the provider's name"),
        (changed("fast", model=3), "models.fast.model: expected text, got int"),
        (changed("fast", key="sk-123"), "models.fast.key: expected secretsmanager:NAME, ssm:NAME or role, got another"),
        (changed("careful", hedge_s=2), 'models.careful.hedge_s: expected cancel = "stops", where hanging up stops'),
        (changed("fast", hedge_s=2, cancel="unknown"), "got 'unknown' of openai: each hedge would be a second answer"),
        (changed("fast", hedge_s=0), "models.fast.hedge_s: expected seconds, more than 0 and at most 600, got 0"),
        (changed("fast", key="role"), "models.fast.key: expected secretsmanager:NAME or ssm:NAME; openai knows no role"),
        (changed("careful", region=None), "models.careful.region: expected a Region"),
        (changed("careful", region="x"), "models.careful.region: expected a Region"),
        (changed("own", base_url="ftp://x"), "models.own.base_url: expected an http"),
        (changed("own", base_url="http://a:b@x/v1"), "models.own.base_url: expected no credentials"),
        (changed("own", base_url="http://x:99999/v1"), "models.own.base_url: expected an http"),
        (changed("own", provider="vllm", base_url=""), "models.own.base_url: expected an http.*got nothing"),
        (changed("fast", fallbacks=["fast"]), "models.fast.fallbacks: expected names of other models, got 'fast'"),
        (changed("fast", fallbacks="careful"), "models.fast.fallbacks: expected at most 4 names"),
        (changed("fast", max_output_tokens=0), "models.fast.max_output_tokens: expected a whole number from 1"),
        (changed("fast", max_output_tokens=True), "models.fast.max_output_tokens: expected a whole number"),
        (changed("fast", cancel="maybe"), "models.fast.cancel: expected one of stops, runs_on, unknown"),
        (FILE | {"schemas": {"a": {"max": 1}}}, "schemas.a: expected max_output_tokens, got 'max'"),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused_by_the_members_name_and_no_key_is_shown(
    content: dict[str, Any], message: str
) -> None:
    with pytest.raises(RoutesError, match=message) as refused:
        parse_routes(content)
    assert "sk-123" not in str(refused.value) and "a:b@" not in str(refused.value)
