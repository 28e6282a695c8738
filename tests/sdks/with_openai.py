"""openai-python, of any major version."""

import asyncio
from typing import Any

import openai
from asked import BASE_URL, KEY, MODEL, ONCE_INVALID, POOR_KEY, WRONG_KEY, caught, prompt, report
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
)
