"""Pydantic AI: output by function (its default) and by the model's own schema, whole and streamed."""

import asyncio
from typing import Any

import pydantic_ai
from asked import BASE_URL, KEY, MODEL, ONCE_INVALID, POOR_KEY, WRONG_KEY, caught, prompt, report
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider


class Recipe(BaseModel):
    title: str
    minutes: int
    steps: list[str]


def asked(made: Any, wrong: Any) -> dict[str, Any]:
    """The same of either endpoint; `wrong` is a setting that is refused."""

    def agent(output_type: Any, model: str = MODEL, key: str = KEY) -> Any:
        return Agent(
            made(model, provider=OpenAIProvider(base_url=BASE_URL, api_key=key)), output_type=output_type
        )

    def case(name: Any) -> str:
        return prompt(f"{made.__name__} {name}")

    async def streamed(output_type: Any, model: str) -> Any:
        async with agent(output_type, model).run_stream(case(f"{model} {output_type}")) as run:
            outputs = [output async for output in run.stream_output()]
        return outputs[-1].model_dump()

    def whole(output_type: Any) -> Any:
        return agent(output_type).run_sync(case(output_type)).output.model_dump()

    async def text() -> list[str]:
        async with agent(str).run_stream(case("text")) as run:
            parts = [part async for part in run.stream_text(delta=True)]
        return ["".join(parts), (await agent(str).run(case("text"))).output]

    return {
        "whole": whole(NativeOutput(Recipe)),
        "tool": whole(Recipe),
        "streamed": asyncio.run(streamed(NativeOutput(Recipe), MODEL)),
        "streamed_tool": asyncio.run(streamed(Recipe, MODEL)),
        "retried": asyncio.run(streamed(NativeOutput(Recipe), ONCE_INVALID)),
        "text": asyncio.run(text()),
        "unauthorized": caught(lambda: agent(str, key=WRONG_KEY).run_sync("Write.")),
        "wrong": caught(lambda: agent(str).run_sync("Write.", model_settings=wrong)),
        "denied": caught(lambda: agent(str, key=POOR_KEY).run_sync("Write.")),
    }


report(
    version=pydantic_ai.__version__,
    **asked(OpenAIChatModel, {"openai_logprobs": True}),
    responses=asked(OpenAIResponsesModel, {"openai_truncation": "auto"}),
)
