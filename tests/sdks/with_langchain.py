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


def chat(model: str = MODEL, key: Any = KEY, responses: bool = False) -> ChatOpenAI:
    return ChatOpenAI(base_url=BASE_URL, api_key=key, model=model, use_responses_api=responses)


def asked(responses: bool) -> dict[str, Any]:
    """The same of either endpoint."""

    def case(name: str) -> str:
        return prompt(f"{name} {responses}")

    def whole(method: Any) -> Any:
        runnable = chat(responses=responses).with_structured_output(Recipe, method=method)
        return runnable.invoke(case(method)).model_dump()

    def streamed(model: str, method: Any) -> Any:
        runnable = chat(model, responses=responses).with_structured_output(Recipe, method=method)
        *_, last = runnable.stream(case(f"{model} {method}"))
        return last.model_dump()

    plain = chat(responses=responses)
    return {
        "whole": whole("json_schema"),
        "tool": whole("function_calling"),
        "streamed": streamed(MODEL, "json_schema"),
        "streamed_tool": streamed(MODEL, "function_calling"),
        "retried": streamed(ONCE_INVALID, "json_schema"),
        "text": ["".join(part.text for part in plain.stream(case("text"))), plain.invoke(case("text")).text],
        "unauthorized": caught(lambda: chat(key=WRONG_KEY, responses=responses).invoke("Write.")),
        "wrong": caught(lambda: plain.invoke("Write.", temperature=3)),
        "denied": caught(lambda: chat(key=POOR_KEY, responses=responses).invoke("Write.")),
    }


report(version=langchain_openai.__name__, **asked(False), responses=asked(True))
