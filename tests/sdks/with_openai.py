"""openai-python, of any major version."""

import asyncio
from typing import Any

import openai
from asked import (
    BASE_URL,
    CUT,
    KEY,
    MODEL,
    ONCE_INVALID,
    POOR_KEY,
    REFUSING,
    WRONG_KEY,
    caught,
    prompt,
    report,
)
from pydantic import BaseModel


class Recipe(BaseModel):
    title: str
    minutes: int
    steps: list[str]


client = openai.OpenAI(base_url=BASE_URL, api_key=KEY)
text: Any = [{"role": "user", "content": prompt("text")}]


def ask(case: str) -> Any:
    return [{"role": "user", "content": prompt(case)}]


def whole() -> Any:
    done = client.chat.completions.parse(model=MODEL, messages=ask("whole"), response_format=Recipe)
    return done.choices[0].message.parsed.model_dump()


def streamed(model: str) -> Any:
    seen = ""
    with client.chat.completions.stream(
        model=model, messages=ask(model), response_format=Recipe, stream_options={"include_usage": True}
    ) as stream:
        for event in stream:
            if event.type == "content.delta":
                seen += event.delta
        final = stream.get_final_completion()
    assert seen == final.choices[0].message.content
    assert final.usage.completion_tokens > 0
    return final.choices[0].message.parsed.model_dump()


def in_chunks() -> str:
    stream = client.chat.completions.create(model=MODEL, messages=text, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def tool() -> Any:
    tools: Any = [openai.pydantic_function_tool(Recipe, name="save")]
    with client.chat.completions.stream(
        model=MODEL, messages=ask("tool"), tools=tools, tool_choice="required"
    ) as stream:
        stream.until_done()
        final = stream.get_final_completion()
    [call] = final.choices[0].message.tool_calls
    return call.function.parsed_arguments.model_dump()


async def without_waiting() -> Any:
    async with openai.AsyncOpenAI(base_url=BASE_URL, api_key=KEY) as own:
        done = await own.chat.completions.parse(model=MODEL, messages=ask("async"), response_format=Recipe)
        return done.choices[0].message.parsed.model_dump()


def create(key: str = KEY, **members: Any) -> Any:
    own = openai.OpenAI(base_url=BASE_URL, api_key=key)
    return own.chat.completions.create(**{"model": MODEL, "messages": text, **members})


def answered(case: str, model: str = MODEL, key: str = KEY, **members: Any) -> Any:
    own = openai.OpenAI(base_url=BASE_URL, api_key=key)
    return own.responses.create(model=model, input=prompt(f"{case} response"), **members)


def parsed() -> Any:
    done = client.responses.parse(model=MODEL, input=prompt("whole response"), text_format=Recipe)
    return done.output_parsed.model_dump()


def in_events(model: str) -> Any:
    with client.responses.stream(
        model=model, input=prompt(f"{model} response"), text_format=Recipe
    ) as stream:
        seen = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert seen == final.output_text
    assert final.usage.output_tokens > 0
    return final.output_parsed.model_dump()


def text_in_events() -> str:
    events = answered("text", stream=True)
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def called() -> Any:
    tools: Any = [openai.pydantic_function_tool(Recipe, name="save")]
    with client.responses.stream(
        model=MODEL, input=prompt("tool response"), tools=tools, tool_choice="required"
    ) as stream:
        [call] = stream.get_final_response().output
    return call.parsed_arguments.model_dump()


report(
    version=openai.__version__,
    models=[model.id for model in client.models.list()],
    whole=whole(),
    asynchronous=asyncio.run(without_waiting()),
    streamed=streamed(MODEL),
    retried=streamed(ONCE_INVALID),
    tool=tool(),
    text=[in_chunks(), create().choices[0].message.content],
    unauthorized=caught(lambda: create(WRONG_KEY)),
    wrong=caught(lambda: create(n=2)),
    not_known=caught(lambda: create(model="nobody")),
    denied=caught(lambda: create(POOR_KEY)),
    responses={
        "whole": parsed(),
        "streamed": in_events(MODEL),
        "retried": in_events(ONCE_INVALID),
        "tool": called(),
        "text": [text_in_events(), answered("text").output_text],
        "refused": answered("refused", REFUSING).output[0].content[0].type,
        "cut": answered("cut", CUT).incomplete_details.reason,
        "unauthorized": caught(lambda: answered("refused", key=WRONG_KEY)),
        "wrong": caught(lambda: answered("refused", truncation="auto")),
        "denied": caught(lambda: answered("refused", key=POOR_KEY)),
    },
)
