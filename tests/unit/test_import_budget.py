"""What a cold start of generate imports: by module list, since times are the benchmark's."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Not before the provider is asked: frameworks, AWS's SDK, what validates and prices, the OpenAPI models, httpx's own
# engine and its loops.
AFTER_THE_REQUEST = {
    "fastapi", "starlette", "mangum", "boto3", "botocore", "aws_lambda_powertools", "httpcore", "anyio", "sniffio",
    "pydantic", "pydantic_core", "pydantic_streaming", "annotated_types", "typing_extensions", "weir.generate.requests",
    "weir.generate.retry", "weir.generate.validator_process", "weir.pricing.cost", "weir.pricing.price_book",
    "weir.generate.openapi", "weir.ledger.store", "weir.schemas.blog_post", "jsonschema", "yaml",
}  # fmt: skip


def test_importing_generate_brings_nothing_that_asking_the_provider_does_not_need() -> None:
    code = "import sys, app; print('\\n'.join(sys.modules))"
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'shared'}:{ROOT / 'functions/generate'}"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    imported = set(done.stdout.split())
    assert "httpx" in imported
    assert imported & AFTER_THE_REQUEST == set()
