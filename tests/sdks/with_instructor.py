"""instructor: by function (its default) and by schema, whole and in partial objects."""

from typing import Any

import instructor
from asked import BASE_URL, KEY, MODEL, ONCE_INVALID, POOR_KEY, WRONG_KEY, caught, prompt, report
from openai import OpenAI
from pydantic import BaseModel


class Recipe(BaseModel):
    title: str
    minutes: int
    steps: list[str]


def ask(case: str) -> Any:
    return [{"role": "user", "content": prompt(case)}]


def client(mode: Any = instructor.Mode.TOOLS, key: str = KEY) -> Any:
    return instructor.from_openai(OpenAI(base_url=BASE_URL, api_key=key), mode=mode)


def whole(mode: Any) -> Any:
    return (
        client(mode)
        .chat.completions.create(model=MODEL, messages=ask(str(mode)), response_model=Recipe)
        .model_dump()
    )


def streamed(model: str, mode: Any) -> Any:
    *_, last = client(mode).chat.completions.create_partial(
        model=model, messages=ask(f"{model} {mode}"), response_model=Recipe
    )
    return last.model_dump()


def refused(key: str, **members: Any) -> Any:
    return client(key=key).chat.completions.create(
        model=MODEL, messages=ask("refused"), response_model=Recipe, max_retries=0, **members
    )


def answered(case: str, model: str = MODEL, key: str = KEY, *, partial: bool = False, **members: Any) -> Any:
    responses = client(instructor.Mode.RESPONSES_TOOLS, key).responses
    asked = {"model": model, "input": prompt(f"{case} response"), "response_model": Recipe, **members}
    if not partial:
        return responses.create(**asked).model_dump()
    *_, last = responses.create_partial(**asked)
    return last.model_dump()


report(
    version=instructor.__version__,
    whole=whole(instructor.Mode.JSON_SCHEMA),
    tool=whole(instructor.Mode.TOOLS),
    streamed=streamed(MODEL, instructor.Mode.JSON_SCHEMA),
    streamed_tool=streamed(MODEL, instructor.Mode.TOOLS),
    retried=streamed(ONCE_INVALID, instructor.Mode.TOOLS),
    unauthorized=caught(lambda: refused(WRONG_KEY)),
    wrong=caught(lambda: refused(KEY, n=2)),
    denied=caught(lambda: refused(POOR_KEY)),
    responses={
        "tool": answered("tool"),
        "streamed_tool": answered("streamed", partial=True),
        "retried": answered("retried", ONCE_INVALID, partial=True),
        "unauthorized": caught(lambda: answered("refused", key=WRONG_KEY, max_retries=0)),
        "wrong": caught(lambda: answered("refused", truncation="auto", max_retries=0)),
        "denied": caught(lambda: answered("refused", key=POOR_KEY, max_retries=0)),
    },
)
