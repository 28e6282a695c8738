"""LiteLLM as a client: `openai/NAME` at our address."""

from importlib.metadata import version
from typing import Any

import litellm
from asked import BASE_URL, KEY, MODEL, ONCE_INVALID, POOR_KEY, WRONG_KEY, caught, prompt, report
from pydantic import BaseModel


class Recipe(BaseModel):
    title: str
    minutes: int
    steps: list[str]


def ask(case: str, model: str = MODEL, key: str = KEY, **members: Any) -> Any:
    messages = [{"role": "user", "content": prompt(case)}]
    return litellm.completion(f"openai/{model}", messages, base_url=BASE_URL, api_key=key, **members)


def whole() -> Any:
    answer = ask("whole", response_format=Recipe)
    return Recipe.model_validate_json(answer.choices[0].message.content).model_dump()


def streamed(model: str) -> Any:
    stream = ask("streamed", model, response_format=Recipe, stream=True)
    text = "".join(part.choices[0].delta.content or "" for part in stream)
    return Recipe.model_validate_json(text).model_dump()


def tool() -> Any:
    function = {"name": "save", "parameters": Recipe.model_json_schema()}
    answer = ask("tool", tools=[{"type": "function", "function": function}], tool_choice="required")
    [call] = answer.choices[0].message.tool_calls
    return Recipe.model_validate_json(call.function.arguments).model_dump()


def answered(case: str, model: str = MODEL, key: str = KEY, **members: Any) -> Any:
    asked = prompt(f"{case} {model} response")
    return litellm.responses(asked, f"openai/{model}", api_base=BASE_URL, api_key=key, **members)


def parsed() -> Any:
    text = answered("whole", text_format=Recipe).output[0].content[0].text
    return Recipe.model_validate_json(text).model_dump()


def in_events(model: str) -> Any:
    text = "".join(
        getattr(event, "delta", "") for event in answered("streamed", model, text_format=Recipe, stream=True)
    )
    return Recipe.model_validate_json(text).model_dump()


def called() -> Any:
    function = {"type": "function", "name": "save", "parameters": Recipe.model_json_schema()}
    [call] = answered("tool", tools=[function], tool_choice="required").output
    return Recipe.model_validate_json(call.arguments).model_dump()


report(
    version=version("litellm"),
    whole=whole(),
    streamed=streamed(MODEL),
    retried=streamed(ONCE_INVALID),
    tool=tool(),
    text=[
        "".join(part.choices[0].delta.content or "" for part in ask("text", stream=True)),
        ask("text").choices[0].message.content,
    ],
    unauthorized=caught(lambda: ask("refused", key=WRONG_KEY)),
    wrong=caught(lambda: ask("refused", n=2)),
    denied=caught(lambda: ask("refused", key=POOR_KEY)),
    responses={
        "whole": parsed(),
        "streamed": in_events(MODEL),
        "retried": in_events(ONCE_INVALID),
        "tool": called(),
        "text": [
            "".join(getattr(event, "delta", "") for event in answered("text", stream=True)),
            answered("text").output[0].content[0].text,
        ],
        "unauthorized": caught(lambda: answered("refused", key=WRONG_KEY)),
        "wrong": caught(lambda: answered("refused", truncation="auto")),
        "denied": caught(lambda: answered("refused", key=POOR_KEY)),
    },
)
