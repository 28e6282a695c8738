"""What is known of each provider: its protocol, how it wants to be asked, and when its meter stops.

A profile is data with a source; a route of the models' file may overrule any of it. `generic` is what an endpoint gets
of which nothing is known but that it speaks Chat Completions.
"""

from collections.abc import Mapping
from typing import Literal

from weir.errors import ConfigurationError
from weir.light_tuples import LightTuple

type Protocol = Literal["chat_completions", "responses", "anthropic", "converse", "gemini"]
type Cancel = Literal["stops", "runs_on", "unknown"]
type KeyHeader = Literal["authorization", "api-key", "x-api-key", "x-goog-api-key"]
type Images = Literal["url_and_data", "data", "none"]


class SchemaNotExpressible(ConfigurationError):
    """A provider's subset has no schema for a field; `field` is its JSON Pointer into the schema's properties."""

    def __init__(self, field: str, dialect: str, expected: str) -> None:
        super().__init__(f"{field or 'the root'}: {dialect} takes {expected}")
        self.field = field
        self.expected = expected


class Profile(LightTuple):
    """One provider. Names of schema dialects are those of `schema_rules.DIALECTS`; None where a mode is missing.

    `cap` names the member that limits the output. `cancel` tells whether hanging up stops the meter; unknown counts
    as no. `compiles` says that a new schema costs a wait at the provider: a retry then sends none. `reads_schema`
    is false where a grammar holds the model to a schema that it has not read: it goes into the prompt, too.
    `stream_options` replaces the usual ones. `seller` is the provider by the price book's name. `hosts` are host
    names, or ends of them, by which an endpoint without a profile is known.
    """

    name: str
    protocol: Protocol = "chat_completions"
    base_url: str = ""  # {region} is the route's
    key_header: KeyHeader = "authorization"
    role: bool = False  # the function's own role can be the key
    cap: str = "max_tokens"
    cancel: Cancel = "unknown"
    native: str | None = "any"
    tool: str | None = "tool"
    json_mode: bool = True
    compiles: bool = False
    reads_schema: bool = True
    images: Images = "url_and_data"
    developer: bool = False
    refused: frozenset[str] = frozenset()  # parameters that the protocol has and this provider has not
    stream_options: Mapping[str, bool] | None = None
    seller: str | None = None
    hosts: tuple[str, ...] = ()


_NO_OBFUSCATION = {"include_usage": True, "include_obfuscation": False}

_ALL = (
    Profile("generic", native="openai"),
    # The one that comes along: its meter is its script, and stops where we hang up.
    Profile("simulator", cap="max_completion_tokens", cancel="stops", native="openai", developer=True),
    Profile(
        "openai",
        base_url="https://api.openai.com/v1",
        cap="max_completion_tokens",
        cancel="stops",
        native="openai",
        compiles=True,
        developer=True,
        stream_options=_NO_OBFUSCATION,
        seller="openai",
        hosts=("api.openai.com",),
    ),
    Profile(
        "openai-responses",
        "responses",
        base_url="https://api.openai.com/v1",
        cap="max_output_tokens",
        cancel="stops",
        native="openai",
        compiles=True,
        developer=True,
        seller="openai",
    ),
    Profile(
        "azure",
        key_header="api-key",
        cap="max_completion_tokens",
        cancel="stops",
        native="openai",
        compiles=True,
        developer=True,
        seller="azure",
        hosts=(".openai.azure.com", ".cognitiveservices.azure.com"),
    ),
    Profile(
        "anthropic",
        "anthropic",
        base_url="https://api.anthropic.com/v1",
        key_header="x-api-key",
        cancel="stops",
        native="anthropic",
        json_mode=False,
        compiles=True,
        seller="anthropic",
        hosts=("api.anthropic.com",),
    ),
    Profile(
        "bedrock",
        "converse",
        base_url="https://bedrock-runtime.{region}.amazonaws.com",
        role=True,
        cap="maxTokens",
        cancel="runs_on",  # its bill shows the whole answer after a hang-up (litellm#34147, #36008)
        native="bedrock",
        json_mode=False,
        compiles=True,
        images="data",
        seller="aws",
    ),
    Profile(
        "bedrock-openai",  # the same models by Chat Completions, with a key minted from the role
        base_url="https://bedrock-runtime.{region}.amazonaws.com/openai/v1",
        role=True,
        cap="max_completion_tokens",
        cancel="runs_on",
        native="openai",
        seller="aws",
        hosts=(".amazonaws.com", ".api.aws"),
    ),
    Profile(
        "bedrock-responses",  # and by Responses
        "responses",
        base_url="https://bedrock-runtime.{region}.amazonaws.com/openai/v1",
        role=True,
        cap="max_output_tokens",
        cancel="runs_on",
        native="openai",
        seller="aws",
    ),
    Profile(
        "gemini",
        "gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta",
        key_header="x-goog-api-key",
        cap="maxOutputTokens",
        cancel="runs_on",
        native="gemini",
        seller="google",
        images="data",
        hosts=("generativelanguage.googleapis.com",),
    ),
    Profile(
        "openrouter",
        base_url="https://openrouter.ai/api/v1",
        native="openai",
        seller="openrouter",
        hosts=("openrouter.ai",),
    ),
    Profile(
        "groq",
        base_url="https://api.groq.com/openai/v1",
        cap="max_completion_tokens",
        cancel="runs_on",
        native="openai",
        seller="groq",
        hosts=("api.groq.com",),
    ),
    Profile(
        "mistral",
        base_url="https://api.mistral.ai/v1",
        cancel="runs_on",
        native="openai",
        refused=frozenset({"service_tier"}),
        seller="mistral",
        hosts=("api.mistral.ai",),
    ),
    Profile(
        "deepseek",
        base_url="https://api.deepseek.com/v1",
        cancel="stops",
        native=None,  # json_object only
        images="none",
        refused=frozenset({"seed", "service_tier"}),
        seller="deepseek",
        hosts=("api.deepseek.com",),
    ),
    Profile(
        "xai",
        base_url="https://api.x.ai/v1",
        cap="max_completion_tokens",
        cancel="stops",
        native="openai",
        seller="x-ai",
        hosts=("api.x.ai",),
    ),
    Profile(
        "together",
        base_url="https://api.together.xyz/v1",
        cancel="stops",
        native="openai",
        seller="together",
        hosts=("api.together.xyz", "api.together.ai"),
    ),
    Profile(
        "vllm",
        cancel="stops",
        reads_schema=False,
        refused=frozenset({"service_tier"}),
        # Running totals: what a stopped stream cost is then known, and not estimated.
        stream_options={"include_usage": True, "continuous_usage_stats": True},
    ),
    Profile(
        "ollama",
        base_url="http://localhost:11434/v1",
        cancel="stops",
        reads_schema=False,
        images="data",
        refused=frozenset({"service_tier"}),
    ),
    Profile(
        "llama.cpp",
        base_url="http://localhost:8080/v1",
        cancel="stops",
        reads_schema=False,
        refused=frozenset({"service_tier"}),
    ),
    Profile("litellm", base_url="http://localhost:4000/v1", native="openai"),
)

PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in _ALL}


def profile_of_host(host: str) -> Profile:
    """The profile of an endpoint that is named by its address alone."""
    for profile in _ALL:
        for known in profile.hosts:
            if host == known or (known.startswith(".") and host.endswith(known)):
                return profile
    return PROFILES["generic"]
