"""LangChain's ChatOpenAI: structured output by schema, by function and by JSON mode, whole and streamed."""

from typing import Any

import langchain_openai
from asked import BASE_URL, KEY, MODEL, ONCE_INVALID, POOR_KEY, WRONG_KEY, caught, prompt, report
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Recipe(BaseModel):
    """A recipe."""

    title: str
    minutes: int
    steps: list[str]


def chat(model: str = MODEL, key: Any = KEY) -> ChatOpenAI:
    return ChatOpenAI(base_url=BASE_URL, api_key=key, model=model)


def whole(method: Any) -> Any:
    return chat().with_structured_output(Recipe, method=method).invoke(prompt(method)).model_dump()


def streamed(model: str, method: Any) -> Any:
    *_, last = chat(model).with_structured_output(Recipe, method=method).stream(prompt(f"{model} {method}"))
    return last.model_dump()


report(
    version=langchain_openai.__name__,
    whole=whole("json_schema"),
    tool=whole("function_calling"),
    streamed=streamed(MODEL, "json_schema"),
    streamed_tool=streamed(MODEL, "function_calling"),
    retried=streamed(ONCE_INVALID, "json_schema"),
    text=[
        "".join(str(part.content) for part in chat().stream(prompt("text"))),
        chat().invoke(prompt("text")).content,
    ],
    unauthorized=caught(lambda: chat(key=WRONG_KEY).invoke("Write.")),
    wrong=caught(lambda: chat().invoke("Write.", logprobs=True)),
    denied=caught(lambda: chat(key=POOR_KEY).invoke("Write.")),
)
