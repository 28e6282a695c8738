"""The variants: the article's steps, what people would pick, ours."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.compare.callers import BUFFERED, OURS, STREAMED, Dialect, openai_dialect
from tests.compare.running import Running
from tests.compare.starting import (
    LITELLM_KEY,
    MANY_IN_ONE,
    Surroundings,
    adapter,
    container,
    gunicorn,
    litellm,
    managed,
    mangum,
    node,
    on_demand,
    uvicorn,
)

# What one environment of a function is asked at once; beyond that each caller needs an environment of its own, and on
# a laptop all of them share its processors, which on Lambda they do not.
ENVIRONMENTS = 8


@dataclass(frozen=True, slots=True)
class Variant:
    """One row. `callers` is the most it is asked at once; `function` says that it runs on Lambda's own interface.

    `worker` says that of its processes one answers a request, so that on Lambda only that one is needed.
    """

    name: str
    start: Callable[[Surroundings], Running]
    dialect: Dialect
    group: str
    function: bool = False
    callers: int | None = None
    worker: bool = False
    many_in_one: int = 1
    knee: bool = False

    @property
    def ours(self) -> bool:
        """Whether it is this project."""
        return self.group == OURS_GROUP


ARTICLE, PICKED, OURS_GROUP = "the article", "what people pick", "ours"


STEP_1 = "1 requests, 8 worker processes"
STEP_2 = "2 httpx, a client a call, buffered"
STEP_3 = "3 streaming, validated inline"
STEP_4 = "4 streaming, validated in a thread"
CAREFUL = "careful: 4 with one client"
SDK, LITELLM = "FastAPI, openai SDK .stream()", "LiteLLM proxy, openai SDK at the caller"
ADAPTER, MANGUM, NODE = "uvicorn behind a proxy process", "Mangum, buffered", "Node streamifyResponse"
CONTAINER, ON_DEMAND, MANAGED = (
    "ours, container",
    "ours, one request an environment",
    "ours, 64 an environment",
)

VARIANTS = (
    Variant(STEP_1, gunicorn, BUFFERED, ARTICLE, worker=True),
    Variant(STEP_2, uvicorn("buffered"), BUFFERED, ARTICLE),
    Variant(STEP_3, uvicorn("streaming_inline"), STREAMED, ARTICLE),
    Variant(STEP_4, uvicorn("streaming_thread"), STREAMED, ARTICLE, knee=True),
    Variant(CAREFUL, uvicorn("careful"), STREAMED, ARTICLE, knee=True),
    Variant(SDK, uvicorn("sdk"), STREAMED, PICKED, knee=True),
    Variant(LITELLM, litellm, openai_dialect(LITELLM_KEY), PICKED, knee=True),
    Variant(ADAPTER, adapter, STREAMED, PICKED, function=True, callers=ENVIRONMENTS),
    Variant(MANGUM, mangum, BUFFERED, PICKED, function=True, callers=ENVIRONMENTS),
    Variant(NODE, node, STREAMED, PICKED, function=True, callers=ENVIRONMENTS),
    Variant(CONTAINER, container, OURS, OURS_GROUP, knee=True),
    Variant(ON_DEMAND, on_demand, OURS, OURS_GROUP, function=True, callers=ENVIRONMENTS),
    Variant(MANAGED, managed, OURS, OURS_GROUP, function=True, many_in_one=MANY_IN_ONE),
)
