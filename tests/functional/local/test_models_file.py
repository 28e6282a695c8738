"""A models' file on a laptop: its keys come from the environment, lie in the local store, and no name is the file's."""

from pathlib import Path

import httpx
import pytest

from infra.local.chosen_models import chosen_models, variable_of
from infra.local.chosen_upstream import UpstreamSettingsError
from infra.local.simulator import Simulator
from infra.local.stack import LocalAws, LocalAwsConfig

TWO = """
default = "fast"
[models.fast]
provider = "simulator"
base_url = "{base_url}"
model = "sim-fast"
key = "secretsmanager:our/sim"
[models.other]
provider = "simulator"
base_url = "{base_url}"
model = "sim-1"
key = "secretsmanager:our/sim"
"""


async def test_its_models_are_asked_with_the_keys_of_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    async with Simulator(api_key="sim-key") as simulator:
        path.write_text(TWO.format(base_url=simulator.base_url))
        found = chosen_models({"WEIR_MODELS": str(path), "WEIR_KEY_OUR_SIM": "sim-key"})
        assert found is not None and found.names == ("fast", "other")
        assert list(found.secrets.values()) == ["sim-key"] and "our/sim" not in found.models
        config = LocalAwsConfig(secrets=found.secrets, parameters={"Models": found.models})
        async with LocalAws(config) as aws, httpx.AsyncClient(timeout=60) as client:
            url = f"{aws.function_url('GenerateFunction')}/v1/generations"
            for model, status in (("fast", 200), ("other", 200), ("nobody's", 422)):
                answer = await client.post(url, json={"prompt": "x", "model": model})
                assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TWO.format(base_url="http://127.0.0.1:9/v1"), "in WEIR_KEY_OUR_SIM, got nothing"),
        ("[models.fast]\nmodle = 'x'", "modle"),
        ("[models", "expected JSON, or the path of a file of JSON or TOML"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_before_anything_starts(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "models.toml"
    path.write_text(text)
    with pytest.raises(UpstreamSettingsError) as error:
        chosen_models({"WEIR_MODELS": str(path)})
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("key", "variable"),
    [
        ("secretsmanager:openai", "WEIR_KEY_OPENAI"),
        ("ssm:/weir/open-ai", "WEIR_KEY_WEIR_OPEN_AI"),
        ("secretsmanager:keys#openai", "WEIR_KEY_KEYS_OPENAI"),
    ],
)
def test_a_keys_variable_is_its_name_in_capitals(key: str, variable: str) -> None:
    assert variable_of(key) == variable


def test_without_a_file_nothing_is_chosen() -> None:
    assert chosen_models({}) is None
