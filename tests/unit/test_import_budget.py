"""What a cold start of generate imports: by module list, since times are the benchmark's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Not before the provider is asked: frameworks, AWS's SDK, what reads answers, validates and prices, the OpenAPI models,
# httpx's own engine and its loops.
AFTER_THE_REQUEST = {
    "fastapi", "starlette", "mangum", "boto3", "botocore", "aws_lambda_powertools", "httpcore", "h11", "anyio",
    "httptools", "sniffio", "pydantic", "pydantic_core", "pydantic_streaming", "annotated_types", "typing_extensions",
    "weir.generate.attempt", "weir.generate.requests", "weir.generate.retry", "weir.generate.validator_process",
    "weir.providers.decoder", "weir.pricing.cost", "weir.pricing.price_book", "weir.generate.openapi",
    "weir.ledger.store", "weir.schemas.blog_post", "jsonschema", "yaml",
}  # fmt: skip

READ_GENERATION = """
from weir.generate.accept import parse_request
parse_request(b'{"prompt":"hi","schema":"blog_post","temperature":0.5}', "application/json")
"""
READ_CHAT = """
from weir.generate.chat_api import parse_chat_request
parse_chat_request(
    b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,"max_tokens":9,'
    b'"response_format":{"type":"json_schema","json_schema":{"name":"blog_post"}}}', "application/json"
)
"""
READ_RESPONSE = """
from weir.generate.responses_api import parse_responses_request
parse_responses_request(
    b'{"model":"m","input":"hi","stream":true,"max_output_tokens":9,'
    b'"text":{"format":{"type":"json_schema","name":"blog_post"}}}', "application/json"
)
"""


@pytest.mark.parametrize(
    "reading",
    ["", READ_GENERATION, READ_CHAT, READ_RESPONSE],
    ids=["none", "generation", "chat completion", "response"],
)
def test_importing_generate_and_reading_a_body_bring_nothing_that_asking_does_not_need(reading: str) -> None:
    code = f"import sys, app, weir.generate.question\n{reading}\nprint('\\n'.join(sys.modules))"
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'shared'}:{ROOT / 'functions/generate'}"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    imported = set(done.stdout.split())
    assert "httpx" in imported
    assert imported & AFTER_THE_REQUEST == set()
    # Nobody pays for an endpoint that was not asked.
    used = {
        "weir.generate.chat_api": reading in (READ_CHAT, READ_RESPONSE),
        "weir.generate.responses_api": reading == READ_RESPONSE,
        "weir.providers.events": reading in (READ_CHAT, READ_RESPONSE),
        "weir.pricing.usage": reading in (READ_CHAT, READ_RESPONSE),
    }
    assert {module: module in imported for module in used} == used
